//! Several JSON values in one payload, found without parsing them: a list, values end to end, or one a line. A bad value is then an error of
//! its own, and the others count.

use std::ops::Range;

/// The places of the values: the items of a list, or values that follow each other with space, lines or commas between them. What is no value
/// extends to the end of its line.
pub(crate) fn values(payload: &[u8]) -> Vec<Range<usize>> {
    let mut scan = Scan { bytes: payload, at: 0 };
    scan.space();
    if scan.peek() == Some(b'[')
        && let Some(items) = scan.items()
    {
        return items;
    }
    let (mut scan, mut found) = (Scan { bytes: payload, at: 0 }, Vec::new());
    loop {
        scan.separators();
        let start = scan.at;
        if start >= payload.len() {
            return found;
        }
        match scan.value() {
            Some(value) => found.push(value),
            None => {
                let length = payload[start..].iter().position(|byte| *byte == b'\n');
                scan.at = length.map_or(payload.len(), |length| start + length);
                found.push(start..scan.at);
            }
        }
    }
}

/// The text of a member of an object, of the first of that name; nothing else of the object is read.
pub(crate) fn member<'m>(object: &'m [u8], name: &str) -> Option<&'m [u8]> {
    let mut scan = Scan { bytes: object, at: 0 };
    scan.take(b'{').then_some(())?;
    loop {
        scan.space();
        let key = object.get(scan.value()?)?;
        scan.take(b':').then_some(())?;
        scan.space();
        let value = scan.value()?;
        if key.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")) == Some(name.as_bytes()) {
            return object.get(value);
        }
        scan.take(b',').then_some(())?;
    }
}

/// A place in a text of JSON.
pub(crate) struct Scan<'m> {
    pub(crate) bytes: &'m [u8],
    pub(crate) at: usize,
}

impl Scan<'_> {
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(crate) fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn separators(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace() || byte == b',') {
            self.at += 1;
        }
    }

    /// Skips space and this byte, if it is there.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// The items of a list.
    pub(crate) fn items(&mut self) -> Option<Vec<Range<usize>>> {
        self.take(b'[').then_some(())?;
        let mut items = Vec::new();
        if self.take(b']') {
            return Some(items);
        }
        loop {
            self.space();
            items.push(self.value()?);
            if !self.take(b',') {
                return self.take(b']').then_some(items);
            }
        }
    }

    /// Skips a value: to the bracket that closes it, or to the end of its text or word.
    pub(crate) fn value(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    let length = self.bytes[self.at..].iter().position(|byte| b",:]} \t\r\n\"{[".contains(byte));
                    self.at = length.map_or(self.bytes.len(), |length| self.at + length);
                }
            }
            if depth == 0 {
                return (self.at > start).then_some(start..self.at);
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(payload: &str) -> Vec<&str> {
        values(payload.as_bytes()).into_iter().map(|place| &payload[place]).collect()
    }

    #[test]
    fn values_are_found_in_lists_and_streams() {
        assert_eq!(found(r#"{"a":"}"}{"b":[1]} "x" 5"#), [r#"{"a":"}"}"#, r#"{"b":[1]}"#, "\"x\"", "5"]);
        assert_eq!(found("[{\"a\":1} , 2,[3]]"), ["{\"a\":1}", "2", "[3]"]);
        assert_eq!(found("{\"a\":1}\n}broken\n{\"b\":1}"), ["{\"a\":1}", "}broken", "{\"b\":1}"]);
        assert_eq!(found("{\"a\":1}\n{\"cut"), ["{\"a\":1}", "{\"cut"]);
        assert_eq!(found("[1,2"), ["[1,2"]);
        assert_eq!(found(" \n "), Vec::<&str>::new());
    }
}
