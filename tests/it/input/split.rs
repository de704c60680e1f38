//! A message that is larger than the broker accepts is cut at the boundaries of its records, and no record is lost.

use std::borrow::Cow;

use proptest::prelude::*;
use prost::Message;
use squelch::io::decode::split::{self, SplitError, json, lines, protobuf};

/// A stand-in for OTLP's messages: records in scopes in resources.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<Resource>,
    #[prost(string, tag = "3")]
    context: String,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "2")]
    records: Vec<String>,
}

const LEVELS: &[&[u32]] = &[&[1], &[2], &[2]];

/// All records with what they stand in.
fn records(request: &Request) -> Vec<[String; 4]> {
    let mut all = Vec::new();
    for resource in &request.resources {
        for scope in &resource.scopes {
            let own = |record: &String| [&request.context, &resource.name, &scope.name, record].map(Clone::clone);
            all.extend(scope.records.iter().map(own));
        }
    }
    all
}

fn as_json(request: &Request) -> serde_json::Value {
    let scope = |scope: &Scope| serde_json::json!({"name": scope.name, "records": scope.records});
    let resource = |resource: &Resource| {
        let scopes: Vec<_> = resource.scopes.iter().map(scope).collect();
        serde_json::json!({"a": {"scopes": "none"}, "scopes": scopes, "name": resource.name})
    };
    let resources: Vec<_> = request.resources.iter().map(resource).collect();
    serde_json::json!({"resources": resources, "context": request.context})
}

fn json_records(document: &serde_json::Value) -> Vec<[String; 4]> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
    let list = |value: &serde_json::Value| value.as_array().unwrap().clone();
    let mut all = Vec::new();
    for resource in list(&document["resources"]) {
        for scope in list(&resource["scopes"]) {
            let own = |record: &serde_json::Value| {
                [text(&document["context"]), text(&resource["name"]), text(&scope["name"]), text(record)]
            };
            all.extend(list(&scope["records"]).iter().map(own));
        }
    }
    all
}

fn request() -> impl Strategy<Value = Request> {
    let text = "[a-z\"\\\\\\]},é]{0,12}";
    let scope = (text, proptest::collection::vec(text, 1..6)).prop_map(|(name, records)| Scope { name, records });
    let resource = (text, proptest::collection::vec(scope, 1..4)).prop_map(|(name, scopes)| Resource { name, scopes });
    (text, proptest::collection::vec(resource, 1..5)).prop_map(|(context, resources)| Request { resources, context })
}

proptest! {
    #[test]
    fn protobuf_records_keep_their_context(request in request(), max in 20..400_usize) {
        let message = request.encode_to_vec();
        match protobuf::repeated(&message, max, LEVELS) {
            Ok(pieces) => {
                prop_assert!(pieces.iter().all(|piece| piece.len() <= max));
                let found: Vec<_> = pieces.iter().flat_map(|piece| records(&Request::decode(&**piece).unwrap())).collect();
                prop_assert_eq!(found, records(&request));
            }
            Err(error) => prop_assert!(matches!(error, SplitError::RecordTooLarge { .. }), "{}", error),
        }
        // Enough for the longest context and record, and their heads.
        let room = 200;
        prop_assert!(protobuf::repeated(&message, room, LEVELS).is_ok());
    }

    #[test]
    fn json_records_keep_their_context(request in request(), max in 60..600_usize, pretty in any::<bool>()) {
        let document = as_json(&request);
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        match json::lists(text.as_bytes(), max, &[&["resources"], &["scopes"], &["records"]]) {
            Ok(pieces) => {
                prop_assert!(pieces.iter().all(|piece| piece.len() <= max));
                let parsed = |piece: &Cow<[u8]>| serde_json::from_slice::<serde_json::Value>(piece).unwrap();
                let found: Vec<_> = pieces.iter().flat_map(|piece| json_records(&parsed(piece))).collect();
                prop_assert_eq!(found, json_records(&document));
            }
            Err(error) => prop_assert!(matches!(error, SplitError::RecordTooLarge { .. }), "{}", error),
        }
    }

    #[test]
    fn lines_stay_whole(text in "([a-z{}]{0,9}\n?){0,20}", max in 1..40_usize) {
        match lines::lines(text.as_bytes(), max) {
            Ok(pieces) => {
                prop_assert!(pieces.iter().all(|piece| piece.len() <= max));
                prop_assert_eq!(pieces.concat(), text.as_bytes());
                let whole = pieces.iter().rev().skip(1).all(|piece| piece.ends_with(b"\n"));
                prop_assert!(whole, "only the last piece may end without a newline");
            }
            Err(error) => {
                let bytes = text.split_inclusive('\n').map(str::len).find(|bytes| *bytes > max).unwrap_or(0);
                prop_assert_eq!(error, SplitError::RecordTooLarge { bytes, max });
            }
        }
    }

    #[test]
    fn what_is_malformed_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), max in 0..80_usize) {
        for pieces in [
            protobuf::repeated(&bytes, max, LEVELS),
            json::lists(&bytes, max, &[&["", "a"], &["b"]]),
            lines::records(&bytes, max, &|_| 2),
            split::whole(&bytes, max),
        ].into_iter().flatten() {
            prop_assert!(pieces.iter().all(|piece| piece.len() <= max));
        }
    }
}

#[test]
fn records_of_two_lines_stay_together() {
    let bulk = b"{\"index\":{}}\n{\"a\":1}\n{\"delete\":{}}\n{\"index\":{}}\n{\"a\":2}\n";
    let lines_of = |line: &[u8]| if line.starts_with(b"{\"delete") { 1 } else { 2 };
    let pieces = lines::records(bulk, 35, &lines_of).unwrap();
    let want: [&[u8]; 2] = [b"{\"index\":{}}\n{\"a\":1}\n{\"delete\":{}}\n", b"{\"index\":{}}\n{\"a\":2}\n"];
    assert_eq!(pieces, want);
    assert_eq!(lines::records(bulk, 20, &lines_of), Err(SplitError::RecordTooLarge { bytes: 21, max: 20 }));
}
