//! The part of `squelch.yaml` about the topology: a path, as it was at first, or a map that says where else edges come from.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::process::config::millis::Millis;
use crate::topology::learn::LearnParams;

/// Where the dependency graph comes from.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    file: Option<PathBuf>,
    bucket: Option<String>,
    learn: LearnFrom,
    peer: String,
    client: String,
    server: String,
    observations: u64,
    forget: Millis,
}

impl Default for Fields {
    fn default() -> Self {
        let learn = LearnParams::default();
        Self {
            file: None,
            bucket: None,
            learn: LearnFrom { spans: learn.spans, metrics: learn.metrics },
            peer: learn.peer,
            client: learn.client,
            server: learn.server,
            observations: learn.observations,
            forget: Millis(learn.forget_ms),
        }
    }
}

/// Where the dependency graph comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopologyConfig {
    /// The file.
    pub file: Option<PathBuf>,
    /// The key-value bucket.
    pub bucket: Option<String>,
    /// What is learned from events.
    pub learn: LearnParams,
}

/// What edges are learned from: a list of `spans` and `metrics`, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LearnFrom {
    spans: bool,
    metrics: bool,
}

impl<'de> Deserialize<'de> for LearnFrom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct From;
        impl<'de> Visitor<'de> for From {
            type Value = LearnFrom;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of spans and metrics, or off")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<LearnFrom, E> {
                let nothing = LearnFrom { spans: false, metrics: false };
                if word == "off" { Ok(nothing) } else { add(nothing, word) }
            }

            /// To YAML, `off` without quotes is no text.
            fn visit_bool<E: Error>(self, on: bool) -> Result<LearnFrom, E> {
                self.visit_str(if on { "on" } else { "off" })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LearnFrom, A::Error> {
                let mut from = LearnFrom { spans: false, metrics: false };
                while let Some(word) = list.next_element::<String>()? {
                    from = add(from, &word)?;
                }
                Ok(from)
            }
        }
        fn add<E: Error>(from: LearnFrom, word: &str) -> Result<LearnFrom, E> {
            match word {
                "spans" => Ok(LearnFrom { spans: true, ..from }),
                "metrics" => Ok(LearnFrom { metrics: true, ..from }),
                _ => Err(E::custom(format!("{word:?} is nothing to learn from: write spans, metrics, or off"))),
            }
        }
        deserializer.deserialize_any(From)
    }
}

impl<'de> Deserialize<'de> for TopologyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathOrMap;
        impl<'de> Visitor<'de> for PathOrMap {
            type Value = TopologyConfig;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a path, or a map with `file`, `bucket` and `learn`")
            }

            fn visit_str<E: Error>(self, path: &str) -> Result<TopologyConfig, E> {
                Ok(TopologyConfig { file: Some(path.into()), ..TopologyConfig::default() })
            }

            fn visit_unit<E: Error>(self) -> Result<TopologyConfig, E> {
                Ok(TopologyConfig::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TopologyConfig, A::Error> {
                Fields::deserialize(MapAccessDeserializer::new(map)).map(TopologyConfig::from)
            }
        }
        deserializer.deserialize_any(PathOrMap)
    }
}

impl From<Fields> for TopologyConfig {
    fn from(fields: Fields) -> Self {
        let Fields { file, bucket, learn, peer, client, server, observations, forget } = fields;
        let (spans, metrics, forget_ms) = (learn.spans, learn.metrics, forget.0);
        let learn = LearnParams { spans, metrics, peer, client, server, observations, forget_ms };
        Self { file, bucket, learn }
    }
}
