//! The JSON form of a push: `{"streams":[{"stream":{…},"values":[["nanoseconds","line",{…}]]}]}`.

use std::fmt;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::io::decode::json_text::JsonText;
use crate::io::decode::raw_event::{Pairs, Scalar, Text, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::model::time::TimestampMs;

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(borrow)]
    streams: Vec<Stream<'a>>,
}

#[derive(Deserialize)]
struct Stream<'a> {
    #[serde(default, borrow)]
    stream: Pairs<'a>,
    #[serde(default, borrow)]
    values: Vec<Entry<'a>>,
}

/// Nanoseconds as text, the line, and metadata that may be missing.
struct Entry<'a> {
    nanoseconds: Scalar<'a>,
    line: Text<'a>,
    metadata: Pairs<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = Entry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of nanoseconds, a line, and metadata or nothing")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entry<'de>, A::Error> {
                let missing = |what: &str| A::Error::custom(format!("an entry has no {what}"));
                let nanoseconds = list.next_element::<Scalar<'de>>()?.ok_or_else(|| missing("time"))?;
                let JsonText(line) = list.next_element::<JsonText<'de>>()?.ok_or_else(|| missing("line"))?;
                let metadata = list.next_element::<Option<Pairs<'de>>>()?.flatten().unwrap_or_default();
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entry { nanoseconds, line, metadata })
            }
        }
        deserializer.deserialize_seq(EntryVisitor)
    }
}

/// Reads a push.
pub(super) fn read<'a>(payload: &'a [u8], mut rows: Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    let push: Push<'a> = serde_json::from_slice(payload).map_err(|error| RejectReason::Json(error.to_string()))?;
    for stream in push.streams {
        rows.begin_shared();
        stream.stream.0.into_iter().for_each(|(key, value)| rows.pair(key, value));
        rows.end_shared();
        for Entry { nanoseconds, line, metadata } in stream.values {
            rows.begin();
            metadata.0.into_iter().for_each(|(key, value)| rows.pair(key, value));
            rows.set(TextField::Body, line);
            rows.event.ts = Some(milliseconds(&nanoseconds));
            rows.take();
        }
    }
    Ok(())
}

fn milliseconds(nanoseconds: &Scalar<'_>) -> Result<TimestampMs, String> {
    let parsed = match nanoseconds {
        Scalar::Whole(whole) => Some(*whole),
        Scalar::Text(text) => text.trim().parse::<i64>().ok(),
        _ => None,
    };
    parsed.map(|whole| whole.div_euclid(1_000_000)).ok_or_else(|| format!("a time is {nanoseconds}: it must be Unix nanoseconds"))
}
