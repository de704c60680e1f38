//! The answer to a bulk request: one item an action, in their order, with an error where a line is broken. It looks at the lines only to answer
//! them: what they mean is decided where they are decoded.

use std::borrow::Cow;

use axum::http::header;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::io::decode::decompress::{Encoding, decompress};
use crate::io::intake::endpoint::Received;
use crate::io::intake::refusal::Refusal;

/// The body, inflated.
pub(super) fn inflated<'a>(received: &'a Received<'_>) -> Result<Cow<'a, [u8]>, Refusal> {
    let named = received.header(header::CONTENT_ENCODING).unwrap_or_default();
    let encoding = Encoding::of_header(named)
        .ok_or_else(|| Refusal::UnsupportedType(format!("Content-Encoding {named:?} is unknown: send gzip or none")))?;
    let body = decompress(received.body, encoding).map_err(Refusal::Malformed)?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::Malformed("request body is required".into()));
    }
    Ok(body)
}

/// What an action line says: `{"create":{"_index":"logs-app"}}`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action<'a> {
    #[serde(borrow)]
    Create(Target<'a>),
    Index(Target<'a>),
    Update(Target<'a>),
    Delete(Target<'a>),
}

#[derive(Deserialize)]
struct Target<'a> {
    #[serde(borrow, rename = "_index")]
    index: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "_id")]
    id: Option<Cow<'a, str>>,
}

/// The answer; `index` is that of the path, for actions that name none.
pub(super) fn answer(body: &[u8], index: &str) -> String {
    let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace));
    let (mut items, mut errors) = (Vec::new(), false);
    while let Some(line) = lines.next() {
        let number = items.len() + 1;
        let (name, target, error) = match serde_json::from_slice::<Action<'_>>(line) {
            Ok(Action::Create(target)) => ("create", target, document(lines.next())),
            Ok(Action::Index(target)) => ("index", target, document(lines.next())),
            Ok(Action::Update(target)) => {
                lines.next();
                ("update", target, Some("squelch keeps events and changes none: send create".into()))
            }
            Ok(Action::Delete(target)) => ("delete", target, Some("squelch keeps events and deletes none".into())),
            Err(error) => ("index", Target { index: None, id: None }, Some(format!("malformed action line: {error}"))),
        };
        errors |= error.is_some();
        let index = target.index.as_deref().unwrap_or(index);
        let id = target.id.map_or_else(|| number.to_string(), Cow::into_owned);
        items.push(json!({ name: item(index, &id, number, error) }));
    }
    json!({ "took": 1, "errors": errors, "items": items }).to_string()
}

/// What is wrong with a document's line.
fn document(line: Option<&[u8]>) -> Option<String> {
    let Some(line) = line else { return Some("the document is missing".into()) };
    serde_json::from_slice::<IgnoredAny>(line).err().map(|error| format!("failed to parse: {error}"))
}

fn item(index: &str, id: &str, number: usize, error: Option<String>) -> Value {
    match error {
        None => json!({
            "_index": index, "_id": id, "_version": 1, "result": "created", "_seq_no": number, "_primary_term": 1,
            "_shards": { "total": 1, "successful": 1, "failed": 0 }, "status": 201,
        }),
        Some(reason) => {
            json!({ "_index": index, "_id": id, "status": 400, "error": { "type": "document_parsing_exception", "reason": reason } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_has_its_item() {
        let body = "{\"create\":{\"_index\":\"logs\"}}\n{\"message\":\"a\"}\n\n{\"index\":{\"_id\":\"7\"}}\n{\"message\":\n\
                    {\"delete\":{}}\n{\"update\":{}}\n{\"doc\":{}}\nnonsense\n{\"create\":{}}\n{}\n{\"create\":{}}";
        let answer: Value = serde_json::from_str(&answer(body.as_bytes(), "of-path")).unwrap();
        let items: Vec<String> = answer["items"].as_array().unwrap().iter().map(summary).collect();
        assert_eq!(
            items,
            [
                "create logs 1 201",
                "index of-path 7 400",
                "delete of-path 3 400",
                "update of-path 4 400",
                "index of-path 5 400",
                "create of-path 6 201",
                "create of-path 7 400"
            ]
        );
        assert_eq!(answer["errors"], true);
        let good: Value = serde_json::from_str(&super::answer(b"{\"create\":{}}\n{}\n", "a")).unwrap();
        assert_eq!(good["errors"], false);
    }

    fn summary(item: &Value) -> String {
        let (name, item) = item.as_object().unwrap().iter().next().unwrap();
        format!("{name} {} {} {}", item["_index"].as_str().unwrap(), item["_id"].as_str().unwrap(), item["status"])
    }
}
