//! JSON or protobuf, of formats that have both: what a header names, or what the first byte tells.

/// The syntax of a format that has several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Syntax {
    /// Not named: the first byte decides.
    #[default]
    Unnamed,
    /// JSON.
    Json,
    /// Protobuf.
    Protobuf,
}

impl Syntax {
    /// The syntax that a `Content-Type` header names.
    pub fn of_header(value: &str) -> Self {
        let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.rsplit(['/', '+']).next() {
            Some("json" | "x-ndjson") => Syntax::Json,
            Some("x-protobuf" | "protobuf" | "vnd.google.protobuf") => Syntax::Protobuf,
            _ => Syntax::Unnamed,
        }
    }

    /// Whether a payload is JSON and not protobuf. A protobuf message of records begins with field 1 and a length, the byte of a newline.
    pub fn is_json(self, payload: &[u8]) -> bool {
        match self {
            Syntax::Json => true,
            Syntax::Protobuf => false,
            Syntax::Unnamed => payload.first() != Some(&0x0a) && matches!(payload.trim_ascii_start().first(), Some(b'{' | b'[')),
        }
    }
}
