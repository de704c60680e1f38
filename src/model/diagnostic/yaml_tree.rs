//! A YAML text as a tree in which every key and every value knows its place, so that an error found later points at what was written.
//! It judges nothing: which keys there are is for those who read the tree.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use crate::model::diagnostic::{Diagnostic, offset_of, yaml_errors};

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The bytes of the text; of a list or a map that fills several lines, the first of them.
    pub span: Range<usize>,
    /// What is there.
    pub content: Content,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Null, true or false, a number or a text.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text.
    Map(Vec<Entry>),
}

/// A key of a map with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's place.
    pub key_span: Range<usize>,
    /// The value.
    pub node: Node,
}

impl Node {
    /// Reads `text[part]`; all places are those in `text`. An empty part is a null.
    pub fn parse(text: &str, part: Range<usize>) -> Result<Self, Diagnostic> {
        let options = serde_saphyr::options! { with_snippet: false };
        let yaml = &text[part.clone()];
        let places = Places { yaml, shift: part.start };
        match serde_saphyr::from_str_with_options::<Option<Spanned<Raw>>>(yaml, options) {
            Ok(Some(raw)) => Ok(places.node(raw)),
            Ok(None) => Ok(Self { span: part.start..part.start, content: Content::Scalar(Value::Null) }),
            Err(error) => {
                let at = error.location().map_or(0, |location| places.start(&location) - part.start);
                let wrong = yaml_errors::explain(yaml, at, &error.to_string());
                Err(Diagnostic { span: wrong.span.start + part.start..wrong.span.end + part.start, ..wrong })
            }
        }
    }

    /// The keys of a map; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.content {
            Content::List(items) => Some(items),
            _ => None,
        }
    }

    /// Whether it is a map.
    pub fn is_map(&self) -> bool {
        matches!(self.content, Content::Map(_))
    }

    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The innermost entry on a path of keys, `nats.tls.cert_file`, that is written.
    pub fn innermost(&self, path: &str) -> Option<&Entry> {
        let (mut node, mut found) = (self, None);
        for key in path.split('.') {
            let Some(entry) = node.entry(key) else { break };
            (node, found) = (&entry.node, Some(entry));
        }
        found
    }

    /// The scalar; `None` of a list or a map.
    pub fn scalar(&self) -> Option<&Value> {
        match &self.content {
            Content::Scalar(value) => Some(value),
            _ => None,
        }
    }

    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        self.scalar()?.as_str()
    }

    /// Without its places.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Node::to_json).collect(),
            Content::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect(),
        }
    }
}

/// What the parser yields: it knows where a value begins, but not where a list or a map ends.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(flag.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(number.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(text.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// Places of the parser as places of the whole text.
struct Places<'t> {
    yaml: &'t str,
    shift: usize,
}

impl Places<'_> {
    fn node(&self, raw: Spanned<Raw>) -> Node {
        let start = self.start(&raw.defined);
        let (content, end) = match raw.value {
            Raw::Scalar(value) => (Content::Scalar(value), self.end(&raw.defined)),
            Raw::List(items) => {
                (Content::List(items.into_iter().map(|item| self.node(item)).collect()), self.collection_end(start))
            }
            Raw::Map(entries) => {
                let entry = |(key, value): (Spanned<String>, Spanned<Raw>)| Entry {
                    key_span: self.start(&key.defined)..self.end(&key.defined),
                    key: key.value,
                    node: self.node(value),
                };
                (Content::Map(entries.into_iter().map(entry).collect()), self.collection_end(start))
            }
        };
        Node { span: start..end.max(start), content }
    }

    fn start(&self, location: &Location) -> usize {
        let known = location.span().byte_offset().map(|offset| offset as usize);
        let offset = known.unwrap_or_else(|| offset_of(self.yaml, location.line() as usize, location.column() as usize));
        self.shift + offset.min(self.yaml.len())
    }

    fn end(&self, location: &Location) -> usize {
        let length = location.span().byte_len().map_or(0, |length| length as usize);
        let end = (self.start(location) + length).min(self.shift + self.yaml.len());
        // What fills several lines ends with a line break.
        self.shift + self.yaml[..end - self.shift].trim_end().len()
    }

    /// The end of a list or map: behind its closing bracket, or in block style where its first line ends.
    fn collection_end(&self, start: usize) -> usize {
        let rest = &self.yaml[start - self.shift..];
        if !rest.starts_with(['{', '[']) {
            let line = rest.split(['\n', '\r']).next().unwrap_or_default();
            return start + line.split(" #").next().unwrap_or_default().trim_end().len();
        }
        let (mut depth, mut quote) = (0_usize, None);
        for (at, c) in rest.char_indices() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, '{' | '[') => depth += 1,
                (None, '}' | ']') => {
                    depth -= 1;
                    if depth == 0 {
                        return start + at + c.len_utf8();
                    }
                }
                _ => {}
            }
        }
        start + rest.trim_end().len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, Node};

    const TEXT: &str = "/* é */\nwindows: { before: { window: 1h, ago: \"5}x\" }, floor: 1 } # all\nover_all:\n  over: 2h # two\n  \
                        steps: [a, 'b']\nnothing:\nlines: |\n  one\n  two\n";

    fn shown(path: &str) -> &'static str {
        let node = Node::parse(TEXT, TEXT.find("windows").unwrap()..TEXT.len()).unwrap();
        &TEXT[node.innermost(path).unwrap().node.span.clone()]
    }

    #[test]
    fn values_have_their_places_in_flow_and_in_block_style() {
        assert_eq!(shown("windows"), "{ before: { window: 1h, ago: \"5}x\" }, floor: 1 }");
        assert_eq!(shown("windows.before"), "{ window: 1h, ago: \"5}x\" }");
        assert_eq!(shown("windows.before.ago"), "\"5}x\"");
        assert_eq!(shown("windows.floor"), "1");
        assert_eq!(shown("windows.floor.deeper"), "1", "the innermost that is written");
        assert_eq!(shown("over_all"), "over: 2h");
        assert_eq!(shown("over_all.over"), "2h");
        assert_eq!(shown("over_all.steps"), "[a, 'b']");
        assert_eq!(shown("nothing"), "");
        assert_eq!(shown("lines"), "one\n  two");
    }

    #[test]
    fn keys_have_places_and_values_their_types() {
        let node = Node::parse(TEXT, 9..TEXT.len()).unwrap();
        let keys: Vec<&str> = node.entries().iter().map(|entry| &TEXT[entry.key_span.clone()]).collect();
        assert_eq!(keys, ["windows", "over_all", "nothing", "lines"]);
        assert_eq!(node.to_json()["over_all"], serde_json::json!({ "over": "2h", "steps": ["a", "b"] }));
        assert!(matches!(Node::parse("# nothing", 0..9).unwrap().content, Content::Scalar(serde_json::Value::Null)));
    }

    #[test]
    fn what_cannot_be_read_has_its_place_in_the_whole_text() {
        let text = "/* é */\na: [1, 2";
        let error = Node::parse(text, 9..text.len()).unwrap_err();
        assert_eq!((&text[error.span], error.message.as_str()), ("[1, 2", "`[` is never closed"));
    }
}
