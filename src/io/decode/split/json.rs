//! JSON documents whose records are the items of a list, or of lists in such items. What else a document holds goes into each piece. Values
//! are found, not parsed: each piece has their text as it was.

use std::borrow::Cow;
use std::ops::Range;

use crate::io::decode::json_values::Scan;
use crate::io::decode::split::{SplitError, add, groups};

/// Cuts between the items of lists. `levels` has the keys of the lists: first those of the document, then those of its items, and so on;
/// the key `""` stands for a document that is a list itself. An item is cut only where it alone is too large.
pub fn lists<'m>(document: &'m [u8], max: usize, levels: &[&[&str]]) -> Result<Vec<Cow<'m, [u8]>>, SplitError> {
    if document.len() <= max {
        return Ok(vec![Cow::Borrowed(document)]);
    }
    let mut pieces = Vec::new();
    cut(document, max, levels, &mut pieces)?;
    Ok(pieces.into_iter().map(Cow::Owned).collect())
}

fn cut(document: &[u8], max: usize, levels: &[&[&str]], pieces: &mut Vec<Vec<u8>>) -> Result<(), SplitError> {
    let too_large = SplitError::RecordTooLarge { bytes: document.len(), max };
    let Some((keys, inner)) = levels.split_first() else { return Err(too_large) };
    let list = list(document, keys).ok_or_else(|| SplitError::Malformed("it is no JSON of the format's shape".into()))?;
    let Some(items) = list else { return Err(too_large) };
    let (Some(first), Some(last)) = (items.first(), items.last()) else { return Err(too_large) };
    let (before, after) = (&document[..first.start], &document[last.end..]);
    let room = max.saturating_sub(before.len() + after.len());
    if room == 0 {
        return Err(too_large);
    }
    let wrap = |body: &[u8]| [before, body, after].concat();
    let sizes: Vec<usize> = items.iter().map(|item| item.len() + 1).collect();
    for group in groups(&sizes, room + 1) {
        let body = items[group.start].start..items[group.end - 1].end;
        let joined = sizes[group.clone()].iter().sum::<usize>() - 1;
        if joined <= room {
            let listed: Vec<&[u8]> = items[group].iter().map(|item| &document[item.clone()]).collect();
            add(pieces, wrap(&listed.join(&b',')))?;
            continue;
        }
        let mut parts = Vec::new();
        cut(&document[body], room, inner, &mut parts)?;
        for part in parts {
            add(pieces, wrap(&part))?;
        }
    }
    Ok(())
}

/// The items of the list of one of these keys. `None` where the text is no such JSON; no list where it has none of the keys.
fn list(document: &[u8], keys: &[&str]) -> Option<Option<Vec<Range<usize>>>> {
    let mut scan = Scan { bytes: document, at: 0 };
    scan.space();
    if keys.contains(&"") {
        return if scan.peek() == Some(b'[') { scan.items().map(Some) } else { Some(None) };
    }
    if !scan.take(b'{') {
        return None;
    }
    if scan.take(b'}') {
        return Some(None);
    }
    loop {
        scan.space();
        let key = scan.value()?;
        if !scan.take(b':') {
            return None;
        }
        scan.space();
        let name = document.get(key.start + 1..key.end.saturating_sub(1))?;
        if keys.iter().any(|wanted| wanted.as_bytes() == name) && scan.peek() == Some(b'[') {
            return scan.items().map(Some);
        }
        scan.value()?;
        if !scan.take(b',') {
            return scan.take(b'}').then_some(None);
        }
    }
}
