//! One pass over a line of JSON, straight into an event, without intermediate values. It takes all lines that are good, or next to
//! all, and declines the others: serde_json then reports what is wrong with them.
//!
//! Why not a library: over the lines of `benches/workload.rs` and those of a storm of metrics, on one core of a loaded machine, three runs
//! of this scanner read 2.3 to 3.4 million lines a second. In the same runs the fastest of typed serde_json, sonic-rs and simd-json reached
//! 1.5 to 2.2 million, which is between 1.07 and 1.7 times slower.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::io::decode::native_json::number::NumberSpan;
use crate::io::decode::raw_event::{Field, Pairs, RawEvent, Scalar, Text};
use crate::model::time::{EARLIEST_MS, LATEST_MS, TimestampMs};

/// Reads the line that starts at `from` into `event`, and returns where the line ends: at a newline, or at the text's end. `None`
/// if the line is not exactly one good event; then the content of `event` is undefined.
pub(crate) fn scan<'a>(text: &'a str, from: usize, event: &mut RawEvent<'a>) -> Option<usize> {
    event.clear();
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: from, line_end: None };
    scanner.space();
    scanner.expect(b'{')?;
    if !scanner.is_empty_object() {
        loop {
            let key = scanner.key()?;
            scanner.field(&key, event)?;
            if !scanner.next_member()? {
                break;
            }
        }
    }
    scanner.space();
    matches!(scanner.peek(), None | Some(b'\n')).then_some(scanner.at)
}

/// The time of the event on a line, found without reading the rest of the line: only for putting lines in order. `None` if there is none
/// that an event may have.
pub(crate) fn time_of(line: &[u8]) -> Option<TimestampMs> {
    let text = std::str::from_utf8(line).ok()?;
    let mut scanner = Scanner { text, bytes: line, at: 0, line_end: None };
    scanner.space();
    scanner.expect(b'{')?;
    loop {
        let key = scanner.key()?;
        if Field::of(&key) == Field::Time {
            let ts = scanner.scalar()?.into_time()?.ok()?;
            return (EARLIEST_MS..=LATEST_MS).contains(&ts).then_some(ts);
        }
        scanner.skip_value()?;
        if !scanner.next_member()? {
            return None;
        }
    }
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    line_end: Option<usize>,
}

impl<'a> Scanner<'a> {
    fn field(&mut self, key: &str, event: &mut RawEvent<'a>) -> Option<()> {
        match Field::of(key) {
            Field::Kind => self.scalar()?.into_text(key, &mut event.kind).ok()?,
            Field::Time => event.ts = self.scalar()?.into_time(),
            Field::Text(field) => {
                let into = &mut event.texts[field as usize];
                match self.peek() {
                    Some(b'"') => *into = Some(self.string()?),
                    _ => self.scalar()?.into_text(key, into).ok()?,
                }
            }
            Field::Number(field) => self.scalar()?.into_number(key, &mut event.numbers[field as usize]).ok()?,
            Field::Labels => self.pairs(&mut event.labels)?,
            Field::Annotations => self.pairs(&mut event.annotations)?,
            Field::Unknown => self.skip_value()?,
        }
        Some(())
    }

    fn pairs(&mut self, pairs: &mut Pairs<'a>) -> Option<()> {
        pairs.0.clear();
        if self.peek() == Some(b'n') {
            return self.word("null");
        }
        self.expect(b'{')?;
        if self.is_empty_object() {
            return Some(());
        }
        loop {
            let key = self.key()?;
            match self.peek() {
                Some(b'"') => pairs.0.push((key, self.string()?)),
                _ => {
                    let value = self.scalar()?;
                    pairs.push(key, value);
                }
            }
            if !self.next_member()? {
                return Some(());
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    /// A newline does not count as space: it always ends the line.
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Whether the object that has just begun is empty.
    fn is_empty_object(&mut self) -> bool {
        self.space();
        self.expect(b'}').is_some()
    }

    /// After a value: whether another key follows, or the object ends.
    fn next_member(&mut self) -> Option<bool> {
        self.space();
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            b'}' => Some(false),
            _ => None,
        }
    }

    /// A key, its colon, and the space up to the value.
    fn key(&mut self) -> Option<Text<'a>> {
        self.space();
        let key = self.string()?;
        self.space();
        self.expect(b':')?;
        self.space();
        Some(key)
    }

    fn scalar(&mut self) -> Option<Scalar<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Scalar::Text),
            b'-' | b'0'..=b'9' => self.number()?.scalar(self.text),
            b'n' => self.word("null").map(|()| Scalar::Null),
            b't' => self.word("true").map(|()| Scalar::Bool(true)),
            b'f' => self.word("false").map(|()| Scalar::Bool(false)),
            _ => None,
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn string(&mut self) -> Option<Text<'a>> {
        let start = self.at;
        let escaped = self.string_span()?;
        if escaped {
            // serde_json alone decides which escapes are valid.
            return serde_json::from_str(self.text.get(start..self.at)?).ok().map(Cow::Owned);
        }
        self.text.get(start + 1..self.at - 1).map(Cow::Borrowed)
    }

    /// Skips a string, and returns whether it has escapes.
    fn string_span(&mut self) -> Option<bool> {
        self.expect(b'"')?;
        let mut escaped = false;
        loop {
            let byte = match self.bytes.get(self.at..)?.first_chunk::<8>() {
                Some(eight) => {
                    let found = special_bytes(u64::from_le_bytes(*eight));
                    if found == 0 {
                        self.at += 8;
                        continue;
                    }
                    let first = found.trailing_zeros() as usize / 8;
                    self.at += first;
                    eight[first]
                }
                None => self.peek()?,
            };
            self.at += 1;
            match byte {
                b'"' => return Some(escaped),
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                }
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Option<NumberSpan> {
        let span = NumberSpan::read(self.bytes, self.at)?;
        self.at = span.end;
        Some(span)
    }

    /// Searched for once in a line, however many lists and maps there are to skip.
    fn line_end(&mut self) -> usize {
        *self.line_end.get_or_insert_with(|| {
            let length = self.bytes[self.at..].iter().position(|byte| *byte == b'\n');
            length.map_or(self.bytes.len(), |length| self.at + length)
        })
    }

    /// Skips a value that is not read.
    fn skip_value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => {
                let start = self.at;
                if self.string_span()? {
                    serde_json::from_str::<IgnoredAny>(self.text.get(start..self.at)?).ok()?;
                }
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
            }
            b'{' | b'[' => {
                let line = self.bytes.get(self.at..self.line_end())?;
                let mut values = serde_json::Deserializer::from_slice(line).into_iter::<IgnoredAny>();
                values.next()?.ok()?;
                self.at += values.byte_offset();
            }
            _ => {
                self.scalar()?;
            }
        }
        Some(())
    }
}

/// Marks the first quote, backslash or control character of eight bytes: the lowest set bit of the result is the high bit of that byte.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES * 0x80;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let quotes = zeros(word ^ (ONES * b'"' as u64));
    let backslashes = zeros(word ^ (ONES * b'\\' as u64));
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & HIGHS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::io::decode::native_json::strict::parse_strictly;
    use crate::io::decode::raw_event::NumberField;

    const KEYS: [&str; 18] = [
        "ts",
        "timestamp",
        "kind",
        "name",
        "value",
        "service",
        "host",
        "env",
        "severity",
        "body",
        "status",
        "trace_id",
        "span_id",
        "parent_id",
        "duration_ms",
        "labels",
        "annotations",
        "other",
    ];

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z0-9 .-]{0,20}",
            "[ -~]{0,12}".prop_map(|text| text.replace(['"', '\\'], "")),
            "\\PC{0,10}".prop_map(|text| text.replace(['"', '\\'], "")),
            select(&["a\\n", "\\\"", "\\u00e9", "\\ud83d\\ude00", "\\ud800", "\\x", "\\u12", "tab\tin", "\\/", "ends\\\\"][..])
                .prop_map(String::from),
            select(&["2026-03-14T02:47:10Z", "2026-03-14T02:47:10.5+01:00", "1.5", " 7 ", "inf", "1e400"][..])
                .prop_map(String::from),
        ]
    }

    fn number() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<i64>().prop_map(|whole| whole.to_string()),
            any::<u64>().prop_map(|whole| whole.to_string()),
            (-1000i32..1000).prop_map(|whole| whole.to_string()),
            any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(|number| number.to_string()),
            any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
            "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
            select(&["-0", "-", "01", "1.", ".5", "1e", "0e9", "-0.0", "9223372036854775808", "-9223372036854775808"][..])
                .prop_map(String::from),
        ]
    }

    fn scalar() -> impl Strategy<Value = String> {
        let words = select(&["null", "true", "false", "nul", "tru"][..]).prop_map(String::from);
        prop_oneof![4 => text().prop_map(|text| format!("\"{text}\"")), 3 => number(), 1 => words]
    }

    fn object(values: impl Strategy<Value = String>, keys: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        let space = || select(&["", "", "", " ", "\t", " \r"][..]);
        let entry = (space(), keys, space(), space(), values, space());
        prop::collection::vec(entry, 0..9).prop_map(|entries| {
            let entries: Vec<String> =
                entries.iter().map(|(a, key, b, c, value, d)| format!("{a}\"{key}\"{b}:{c}{value}{d}")).collect();
            format!("{{{}}}", entries.join(","))
        })
    }

    fn line() -> impl Strategy<Value = String> {
        let keys =
            || prop_oneof![6 => select(&KEYS[..]).prop_map(String::from), 1 => text(), 1 => Just("n\\u0061me".to_string())];
        let pairs = || object(scalar(), text());
        let lists = || prop::collection::vec(scalar(), 0..3).prop_map(|values| format!("[{}]", values.join(",")));
        let nested = prop_oneof![pairs(), lists(), object(lists(), text())];
        let fitting = prop_oneof![
            text().prop_map(|text| format!("\"name\":\"{text}\"")),
            number().prop_map(|number| format!("\"value\":{number}")),
            number().prop_map(|number| format!("\"ts\":{number}")),
            pairs().prop_map(|pairs| format!("\"labels\":{pairs}")),
            nested.prop_map(|nested| format!("\"other\":{nested}")),
        ];
        let fitting = prop::collection::vec(fitting, 0..6).prop_map(|entries| format!("{{{}}}", entries.join(",")));
        prop_oneof![3 => fitting, 2 => object(prop_oneof![6 => scalar(), 1 => pairs()], keys())]
    }

    fn mutated() -> impl Strategy<Value = Vec<u8>> {
        let change = (any::<prop::sample::Index>(), 0..4, select(&b"\"\\{}[],:0e.-n \t\n\x0c\xff\x01a"[..]));
        (line(), prop::collection::vec(change, 0..4)).prop_map(|(line, changes)| {
            let mut bytes = line.into_bytes();
            for (at, how, byte) in changes {
                let at = at.index(bytes.len() + 1);
                match how {
                    0 => bytes.insert(at, byte),
                    1 if at < bytes.len() => bytes[at] = byte,
                    2 if at < bytes.len() => drop(bytes.remove(at)),
                    _ => bytes.truncate(at.max(bytes.len() / 2)),
                }
            }
            bytes
        })
    }

    fn near(a: f64, b: f64) -> bool {
        a == b && a.is_sign_negative() == b.is_sign_negative() || (a - b).abs() <= 1e-14 * a.abs()
    }

    /// Equal, but for the last digit of a number, which serde_json may get wrong.
    fn same(fast: &RawEvent<'_>, slow: &RawEvent<'_>) -> bool {
        let numbers = fast.numbers.iter().zip(&slow.numbers).all(|(a, b)| match (a, b) {
            (Some(a), Some(b)) => near(*a, *b),
            (a, b) => a.is_none() && b.is_none(),
        });
        let texts = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) if a.is_finite() => near(a, b),
            _ => a == b,
        };
        let pairs = |a: &Pairs<'_>, b: &Pairs<'_>| {
            a.0.len() == b.0.len() && a.0.iter().zip(&b.0).all(|(a, b)| a.0 == b.0 && texts(&a.1, &b.1))
        };
        let ts = match (&fast.ts, &slow.ts) {
            (Some(Ok(a)), Some(Ok(b))) => a == b || near(*a as f64, *b as f64),
            (Some(Err(a)), Some(Err(b))) => a.split_at(8).0 == b.split_at(8).0,
            (a, b) => a == b,
        };
        let plain = fast.kind == slow.kind && fast.texts == slow.texts;
        numbers && ts && plain && pairs(&fast.labels, &slow.labels) && pairs(&fast.annotations, &slow.annotations)
    }

    /// Whether scanner and serde_json agree on a line; the error shows both.
    fn compare(line: &[u8]) -> Result<bool, String> {
        let slow = parse_strictly(line);
        let Ok(text) = std::str::from_utf8(line) else { return Ok(false) };
        let mut event = RawEvent { labels: Pairs(vec![("left".into(), "over".into())]), ..RawEvent::default() };
        let fast = scan(text, 0, &mut event);
        match (fast, slow) {
            (Some(end), Ok(slow)) if end == text.len() && same(&event, &slow) => Ok(true),
            (Some(end), _) if end < text.len() => Ok(false),
            (Some(_), Err(error)) if error.to_string().starts_with("number out of range") => Ok(true),
            (None, Err(_)) => Ok(false),
            // The scanner ends a line where it sees a newline.
            (None, Ok(_)) if line.contains(&b'\n') => Ok(false),
            // Nobody reads this text, so nobody asks what its half of a character means.
            (None, Ok(_)) if text.contains("\\ud8") => Ok(false),
            (fast, slow) => Err(format!("{text}\nfast {:?}\nslow {slow:?}", fast.map(|_| event))),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn good_and_bad_lines_mean_the_same_on_both_ways(line in line()) {
            compare(line.as_bytes()).map_err(TestCaseError::fail)?;
        }

        #[test]
        fn damaged_lines_mean_the_same_on_both_ways(line in mutated()) {
            compare(&line).map_err(TestCaseError::fail)?;
        }

        #[test]
        fn numbers_are_rounded_correctly(token in number()) {
            let mut event = RawEvent::default();
            let line = format!("{{\"value\":{token}}}");
            if scan(&line, 0, &mut event).is_some() {
                let number = event.number(NumberField::Value).unwrap();
                prop_assert_eq!(number.to_bits(), token.parse::<f64>().unwrap().to_bits());
            }
        }
    }

    #[test]
    fn what_is_common_is_taken() {
        for line in [
            r#"{"ts":1,"name":"n","value":1.5,"labels":{"a":"b","c":200,"d":true,"e":null}}"#,
            r#" { "ts" : "2026-03-14T02:47:10Z" , "body" : "he said \"no\"\n", "extra" : [1, {"a": [2]}] } "#,
            r#"{"value":"12","name":null,"labels":null,"annotations":{}}"#,
            r#"{"value":0.30000000000000004,"duration_ms":-1e-7,"other":1e999}"#,
            "{}",
        ] {
            assert_eq!(compare(line.as_bytes()), Ok(true), "{line}");
        }
    }

    /// A skipped value is read once.
    #[test]
    fn a_line_of_many_lists_takes_no_longer_than_its_length() {
        let line = format!("{{{}}}", vec!["\"a\":[]"; 140_000].join(","));
        assert_eq!(scan(&line, 0, &mut RawEvent::default()), Some(line.len()));
    }

    #[test]
    fn a_line_ends_at_its_newline() {
        let text = "{\"name\":\"a\"}\r\n{\"name\":\"b\"}";
        let mut event = RawEvent::default();
        assert_eq!(scan(text, 0, &mut event), Some(13));
        assert_eq!(scan(text, 14, &mut event), Some(text.len()));
        assert_eq!(event.texts[0].as_deref(), Some("b"));
        assert_eq!(scan("{\"other\":[\n]}", 0, &mut event), None);
        assert_eq!(scan("{\"name\":\n\"a\"}", 0, &mut event), None);
    }
}
