//! The labels of a stream as text: `{app="chat", level="error"}`, with Go's quotes and escapes.

use std::borrow::Cow;

use crate::io::decode::raw_event::Text;

/// The pairs of such a text.
pub(super) fn parse(text: &str) -> Result<Vec<(Text<'_>, Text<'_>)>, String> {
    let malformed = || format!("the labels of a stream are {text:?}: write {{app=\"chat\"}}");
    let mut rest = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(malformed)?.trim_start();
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(malformed)?;
        let (value, after) = quoted(after.trim_start()).ok_or_else(malformed)?;
        pairs.push((Cow::Borrowed(key.trim()), value));
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None if rest.is_empty() => {}
            None => return Err(malformed()),
        }
    }
    Ok(pairs)
}

/// A quoted text at the beginning, and what follows it.
fn quoted(text: &str) -> Option<(Text<'_>, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (value, rest) = raw.split_once('`')?;
        return Some((value.into(), rest));
    }
    let inner = text.strip_prefix('"')?;
    let mut owned: Option<String> = None;
    let mut chars = inner.char_indices();
    while let Some((at, character)) = chars.next() {
        match character {
            '"' => {
                let value = owned.map_or(Cow::Borrowed(&inner[..at]), Cow::Owned);
                return Some((value, &inner[at + 1..]));
            }
            '\\' => {
                let into = owned.get_or_insert_with(|| inner[..at].to_string());
                into.push(escaped(&mut chars)?);
            }
            other => {
                if let Some(into) = &mut owned {
                    into.push(other);
                }
            }
        }
    }
    None
}

fn escaped(chars: &mut std::str::CharIndices<'_>) -> Option<char> {
    let (_, letter) = chars.next()?;
    let digits = match letter {
        'n' => return Some('\n'),
        't' => return Some('\t'),
        'r' => return Some('\r'),
        'a' => return Some('\u{7}'),
        'b' => return Some('\u{8}'),
        'f' => return Some('\u{c}'),
        'v' => return Some('\u{b}'),
        '\\' | '"' | '\'' => return Some(letter),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let code = (0..digits).try_fold(0_u32, |code, _| Some(code << 4 | chars.next()?.1.to_digit(16)?))?;
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_streams() {
        let parsed = |text: &str| {
            parse(text).map(|pairs| pairs.iter().map(|(key, value)| format!("{key}|{value}")).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(parsed("{}").unwrap(), "");
        assert_eq!(parsed("{app=\"chat\"}").unwrap(), "app|chat");
        assert_eq!(parsed(" {app = \"chat\" ,level=`a\\b`, } ").unwrap(), "app|chat level|a\\b");
        assert_eq!(parsed(r#"{a="x\"y\\z\u00e9\n, b=\"1\""}"#).unwrap(), "a|x\"y\\zé\n, b=\"1\"");
        for bad in
            ["", "app=\"chat\"", "{app}", "{app=chat}", "{app=\"chat}", "{app=\"a\" b=\"c\"}", "{app=\"\\q\"}", "{a=\"\\ud800\"}"]
        {
            assert!(parsed(bad).unwrap_err().contains("labels"), "{bad}");
        }
    }
}
