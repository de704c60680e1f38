//! Characters that look like others, or like nothing: a no-break space from a web page, curly quotes from a word processor, a Cyrillic
//! letter. Outside of texts in quotes and comments they are never meant, and the parser's errors cannot show them.

use std::ops::Range;

use crate::model::diagnostic::Diagnostic;

/// What a character is called, and what to write in its place.
fn known(c: char) -> Option<(&'static str, &'static str)> {
    Some(match c {
        '\u{a0}' | '\u{2007}' | '\u{202f}' => ("a no-break space", "write a plain space"),
        '\u{2000}'..='\u{200a}' | '\u{1680}' | '\u{205f}' | '\u{3000}' => ("a space of another width", "write a plain space"),
        '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}' | '\u{202a}'..='\u{202e}' => {
            ("an invisible character", "delete it, and type the word anew")
        }
        '\u{2028}' | '\u{2029}' | '\u{85}' => ("a line break of another kind", "write a plain line break"),
        '‘' | '’' | '‚' | '‛' | '′' | '´' | '＇' => ("a curly quote", "texts take plain single quotes: '"),
        '“' | '”' | '„' | '‟' | '«' | '»' | '″' | '＂' => ("a curly quote", "texts take plain single quotes: '"),
        '–' | '—' | '‐' | '‑' | '‒' | '−' | '－' => ("a dash", "write the minus sign: -"),
        '×' | '∗' | '✕' | '＊' => ("a multiplication sign", "write *"),
        '÷' | '∕' | '／' => ("a division sign", "write /"),
        '≥' => ("no operator", "write >="),
        '≤' => ("no operator", "write <="),
        '≠' => ("no operator", "write <>"),
        '＝' => ("a wide equals sign", "write ="),
        '（' | '）' => ("a wide parenthesis", "write ( or )"),
        '，' | '、' => ("a wide comma", "write ,"),
        '；' | ';' => ("a wide semicolon", "write ;"),
        _ => return None,
    })
}

/// Letters of other alphabets that look like those of ours.
fn looks_like(c: char) -> Option<char> {
    const ALIKE: [(&str, &str); 4] = [
        // Cyrillic.
        ("аеорсухіјѕԁһӏ", "aeopcyxijsdhl"),
        ("АВЕКМНОРСТХІЈЅ", "ABEKMHOPCTXIJS"),
        // Greek.
        ("οαυινρ", "oauivp"),
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
    ];
    ALIKE.iter().find_map(|(theirs, ours)| theirs.chars().zip(ours.chars()).find(|(their, _)| *their == c).map(|(_, our)| our))
}

/// Every such character outside of texts and comments.
pub fn misleading(text: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for code in code_of(text) {
        let word_around = |at: usize| {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let start = text[..at].trim_end_matches(is_word).len();
            let end = text[at..].find(|c| !is_word(c)).map_or(text.len(), |length| at + length);
            start..end
        };
        for (at, c) in text[code.clone()].char_indices().map(|(at, c)| (code.start + at, c)).filter(|(_, c)| !c.is_ascii()) {
            let span = at..at + c.len_utf8();
            if let Some((name, hint)) = known(c) {
                found.push(Diagnostic::new(span, format!("U+{:04X} is {name}", u32::from(c)), hint));
            } else if let Some(like) = looks_like(c)
                && text[word_around(at)].contains(|c: char| c.is_ascii_alphabetic())
            {
                let message = format!("U+{:04X} looks like the letter {like}, and is another", u32::from(c));
                found.push(Diagnostic::new(span, message, format!("type {like} in its place")));
            }
        }
    }
    found.truncate(MISLEADING_MAX);
    found
}

/// More of a kind say nothing new.
const MISLEADING_MAX: usize = 8;

/// The parts of a text that are neither quoted nor comments.
fn code_of(text: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let skipped = if rest.starts_with("--") {
            Some(rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            Some(rest.find("*/").map_or(rest.len(), |end| end + 2))
        } else if rest.starts_with(['\'', '"']) {
            let quote = &rest[..1];
            Some(rest[1..].find(quote).map_or(rest.len(), |end| end + 2))
        } else {
            None
        };
        match skipped {
            Some(length) => {
                parts.push(start..at);
                at += length;
                start = at;
            }
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    parts.push(start..text.len());
    parts
}

#[cfg(test)]
mod tests {
    use super::misleading;

    #[test]
    fn characters_that_mislead_are_named_outside_of_texts_and_comments() {
        for (text, place, named) in [
            ("SELECT service\u{a0}, 1", "\u{a0}", "no-break space"),
            ("SELECT serv\u{200b}ice", "\u{200b}", "invisible"),
            ("WHERE a = “x”", "“", "curly quote"),
            ("WHERE a – 3", "–", "dash"),
            ("HAVING a ≥ 3", "≥", "no operator"),
            ("SELECT s\u{435}rvice", "\u{435}", "looks like the letter e"),
        ] {
            let errors = misleading(text);
            assert!(!errors.is_empty(), "{text}");
            assert_eq!(&text[errors[0].span.clone()], place);
            assert!(errors[0].message.contains(named), "{}", errors[0].message);
        }
        let meant = "SELECT '“x”\u{a0}', \"größe\", größe -- ≥ is nice\n/* – */ FROM метрика WHERE body = 'it''s – ok'";
        assert_eq!(misleading(meant), []);
    }
}
