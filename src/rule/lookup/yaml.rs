//! A lookup in YAML: a list of maps, or a map with `key:`, the columns by which a row is found, and `rows:`, that list.

use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::yaml_tree::{Content, Node};
use crate::rule::lookup::cells::{Cell, Cells};

const EXAMPLE: &str = "write for example `key: service`, and `rows:` with a list such as `- { service: chat, most: 90 }`";

/// Reads a text.
///
/// # Errors
///
/// It is no YAML, or no list of maps of single values: all that is wrong.
pub fn parse(text: &str) -> Result<Cells, Vec<Diagnostic>> {
    let node = Node::parse(text, 0..text.len()).map_err(|error| vec![error])?;
    let mut errors = Vec::new();
    let (key, rows) = match node.items() {
        Some(_) => (Vec::new(), &node),
        None => {
            for entry in node.entries().iter().filter(|entry| !["key", "rows"].contains(&entry.key.as_str())) {
                errors.push(Diagnostic::new(entry.key_span.clone(), format!("unknown key `{}`", entry.key), EXAMPLE));
            }
            let Some(rows) = node.get("rows") else {
                errors.push(Diagnostic::new(node.span.clone(), "the lookup has no `rows`", EXAMPLE));
                return Err(errors);
            };
            (node.get("key").map(key_of).unwrap_or_default(), rows)
        }
    };
    let Some(items) = rows.items() else {
        errors.push(Diagnostic::new(rows.span.clone(), "the rows are no list", EXAMPLE));
        return Err(errors);
    };
    let mut cells = Cells { key, ..Cells::default() };
    for item in items {
        if !item.is_map() {
            errors.push(Diagnostic::new(item.span.clone(), "the row is no map of columns to values", EXAMPLE));
            continue;
        }
        for entry in item.entries() {
            let is_new = cells.header.iter().all(|known| known.text.as_deref() != Some(entry.key.as_str()));
            if is_new {
                let name = Some(entry.key.clone());
                cells.header.push(Cell { text: name, quoted: false, span: entry.key_span.clone() });
            }
            if matches!(entry.node.content, Content::Map(_) | Content::List(_)) {
                let message = format!("`{}` is no single value", entry.key);
                errors.push(Diagnostic::new(entry.node.span.clone(), message, "a value is a text, a number, or true or false"));
            }
        }
    }
    let columns: Vec<Option<String>> = cells.header.iter().map(|cell| cell.text.clone()).collect();
    for item in items.iter().filter(|item| item.is_map()) {
        let cell = |column: &Option<String>| {
            let nothing = || Cell { text: None, quoted: false, span: item.span.clone() };
            column.as_deref().and_then(|column| item.get(column)).map_or_else(nothing, cell_of)
        };
        cells.rows.push(columns.iter().map(cell).collect());
    }
    if errors.is_empty() { Ok(cells) } else { Err(errors) }
}

fn key_of(node: &Node) -> Vec<Cell> {
    match node.items() {
        Some(items) => items.iter().map(cell_of).collect(),
        None => vec![cell_of(node)],
    }
}

fn cell_of(node: &Node) -> Cell {
    let text = match node.scalar() {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    Cell { quoted: node.text().is_some(), text, span: node.span.clone() }
}
