//! CSV as RFC 4180 has it: a line of column names, then a row a line; fields in double quotes may hold commas, line breaks and doubled
//! quotes. Lines that begin with `#` are comments, and `# key: env, service` names the columns by which a row is found.

use std::ops::Range;

use crate::model::diagnostic::Diagnostic;
use crate::rule::lookup::cells::{Cell, Cells};

/// Reads a text. Rows of another length than the header are left out; they and quotes that do not end are the errors.
pub fn parse(text: &str) -> (Cells, Vec<Diagnostic>) {
    let (mut cells, mut errors) = (Cells::default(), Vec::new());
    let mut at = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut header = None;
    while at < text.len() {
        let line_end = text[at..].find('\n').map_or(text.len(), |end| at + end);
        let line = text[at..line_end].trim_end_matches('\r');
        if let Some(comment) = line.strip_prefix('#') {
            if let Some(key) = comment.trim_start().strip_prefix("key:") {
                let start = at + line.len() - key.len();
                cells.key = names(key, start);
            }
            at = line_end + 1;
            continue;
        }
        if line.trim().is_empty() {
            at = line_end + 1;
            continue;
        }
        match record(text, at) {
            Ok((row, end)) => {
                let place = at..end.min(line_end);
                match &header {
                    None => header = Some(row),
                    Some(header) if row.len() != header.len() => errors.push(ragged(place, row.len(), header.len())),
                    Some(_) => cells.rows.push(row),
                }
                at = end + 1;
            }
            Err(error) => {
                errors.push(error);
                break;
            }
        }
    }
    cells.header = header.unwrap_or_default();
    (cells, errors)
}

fn ragged(place: Range<usize>, found: usize, expected: usize) -> Diagnostic {
    let fields = |count: usize| if count == 1 { "1 field".to_string() } else { format!("{count} fields") };
    let message = format!("the row has {}, the header has {}", fields(found), fields(expected));
    Diagnostic::new(place, message, "leave a field empty for a value that is not known; a field with a comma needs double quotes")
}

/// The names in a list, each with its place.
fn names(list: &str, start: usize) -> Vec<Cell> {
    let mut from = start;
    let mut names = Vec::new();
    for part in list.split(',') {
        let name = part.trim();
        let begin = from + part.len() - part.trim_start().len();
        names.push(Cell { text: Some(name.to_string()), quoted: false, span: begin..begin + name.len() });
        from += part.len() + 1;
    }
    names
}

/// The fields of the record that begins at `at`, and where its line ends.
fn record(text: &str, mut at: usize) -> Result<(Vec<Cell>, usize), Diagnostic> {
    let mut fields = Vec::new();
    loop {
        let field = if text[at..].starts_with('"') { quoted(text, at)? } else { plain(text, at) };
        let end = field.span.end;
        fields.push(field);
        match text[end..].bytes().next() {
            Some(b',') => at = end + 1,
            Some(b'\r') => return Ok((fields, end + 1)),
            Some(b'\n') | None => return Ok((fields, end)),
            Some(_) => {
                let rest = end + text[end..].find([',', '\n']).unwrap_or(text.len() - end);
                let hint = "a quote inside of a field in quotes is written twice: \"\"";
                return Err(Diagnostic::new(end..rest, "there is more after the closing quote of this field", hint));
            }
        }
    }
}

fn plain(text: &str, at: usize) -> Cell {
    let end = at + text[at..].find([',', '\n']).unwrap_or(text.len() - at);
    let end = if text[..end].ends_with('\r') && end > at { end - 1 } else { end };
    let trimmed = text[at..end].trim();
    Cell { text: (!trimmed.is_empty()).then(|| trimmed.to_string()), quoted: false, span: at..end }
}

fn quoted(text: &str, at: usize) -> Result<Cell, Diagnostic> {
    let mut content = String::new();
    let mut from = at + 1;
    loop {
        let Some(quote) = text[from..].find('"').map(|quote| from + quote) else {
            let line_end = text[at..].find('\n').map_or(text.len(), |end| at + end);
            return Err(Diagnostic::new(
                at..line_end,
                "a field begins with a quote that is never closed",
                "end the field with \"",
            ));
        };
        content.push_str(&text[from..quote]);
        if !text[quote + 1..].starts_with('"') {
            return Ok(Cell { text: Some(content), quoted: true, span: at..quote + 1 });
        }
        content.push('"');
        from = quote + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(cells: &[Cell]) -> Vec<&str> {
        cells.iter().map(|cell| cell.text.as_deref().unwrap_or("-")).collect()
    }

    #[test]
    fn fields_may_hold_what_separates_them() {
        let cells = parse(
            "\u{feff}# owners\n# key: env, service\r\nenv,service,team\r\nprod,\"a,b\",\"say \"\"hi\"\"\nthere\"\n\nprod,c,\n",
        )
        .0;
        assert_eq!((texts(&cells.key), texts(&cells.header)), (vec!["env", "service"], vec!["env", "service", "team"]));
        assert_eq!(texts(&cells.rows[0]), ["prod", "a,b", "say \"hi\"\nthere"]);
        assert_eq!(texts(&cells.rows[1]), ["prod", "c", "-"]);
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let text = "a,b\n1\n1,2,3\n";
        let wrong: Vec<&str> = parse(text).1.iter().map(|error| &text[error.span.clone()]).collect();
        assert_eq!(wrong, ["1", "1,2,3"]);
        for text in ["a,b\n\"x,2\n", "a,b\n\"x\"y,2\n"] {
            assert_eq!(parse(text).1.len(), 1, "{text}");
        }
    }
}
