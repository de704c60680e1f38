//! A text in which `*` stands for any characters. What else two texts may differ in, letter case say, is for whoever compares them to take away
//! from both.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StarPattern {
    /// The texts between the stars.
    parts: Vec<String>,
}

impl StarPattern {
    /// A pattern as it is written.
    pub fn new(text: &str) -> Self {
        Self { parts: text.split('*').map(String::from).collect() }
    }

    /// Whether it matches any text.
    pub fn is_any(&self) -> bool {
        self.parts.len() > 1 && self.parts.iter().all(String::is_empty)
    }

    /// Whether all of a text matches.
    pub fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_some_and(|only| only == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str())) else {
            return false;
        };
        // The leftmost place of each part leaves most to the parts after it.
        middle.iter().all(|part| match rest.find(part.as_str()) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    }
}
