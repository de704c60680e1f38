//! Alerts of other systems: which of their labels names the entity.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::alert::external_entity::{EntityLabels, NamePattern, SourceEntityLabels};

/// Alerts of other systems.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct AlertsConfig {
    /// Labels that may name the entity, in order. `None` for the default ones.
    pub entity: Option<Vec<EntityEntry>>,
    /// Values of `service` and `job` that name an exporter and no entity. `None` for the default ones.
    pub exporters: Option<Vec<String>>,
}

/// One entry of `alerts.entity`.
#[derive(Clone, Debug, PartialEq)]
pub enum EntityEntry {
    /// A label of any source.
    Label(String),
    /// Labels of one source.
    Source(SourceEntry),
}

/// The labels of one source.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SourceEntry {
    /// By which labels the source is known: `{ job: "node*" }`.
    pub when: BTreeMap<String, String>,
    /// Labels that may name the entity, in order.
    pub labels: Vec<String>,
}

impl AlertsConfig {
    /// As the engine takes it.
    pub fn entity_labels(&self) -> EntityLabels {
        let mut rules = EntityLabels::default();
        if let Some(entries) = &self.entity {
            rules.labels.clear();
            for entry in entries {
                match entry {
                    EntityEntry::Label(label) => rules.labels.push(label.clone()),
                    EntityEntry::Source(SourceEntry { when, labels }) => rules.of_sources.push(SourceEntityLabels {
                        when: when.iter().map(|(label, value)| (label.clone(), NamePattern::new(value))).collect(),
                        labels: labels.clone(),
                    }),
                }
            }
        }
        if let Some(exporters) = &self.exporters {
            rules.exporters = exporters.iter().map(|exporter| NamePattern::new(exporter)).collect();
        }
        rules
    }

    /// What is wrong with it, and how to mend it.
    pub fn problem(&self) -> Option<(&'static str, String, &'static str)> {
        let entries = self.entity.as_deref()?;
        if entries.is_empty() {
            let hint = "name at least one label, for example [service, host], or leave the key out";
            return Some(("alerts.entity", "alerts.entity is empty".into(), hint));
        }
        let sources = entries.iter().filter_map(|entry| match entry {
            EntityEntry::Source(source) => Some(source),
            EntityEntry::Label(_) => None,
        });
        for source in sources {
            if source.when.is_empty() {
                let hint = "name a label by which the source is known: when: { job: \"node*\" }";
                return Some(("alerts.entity", "an entry of alerts.entity has an empty `when`".into(), hint));
            }
            if source.labels.is_empty() {
                let hint = "name the labels that may hold the entity: labels: [host, instance]";
                return Some(("alerts.entity", "an entry of alerts.entity has no `labels`".into(), hint));
            }
        }
        None
    }
}

impl<'de> Deserialize<'de> for EntityEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = EntityEntry;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("the name of a label, or `when` and `labels` of one source")
            }

            fn visit_str<E: serde::de::Error>(self, label: &str) -> Result<EntityEntry, E> {
                Ok(EntityEntry::Label(label.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EntityEntry, A::Error> {
                SourceEntry::deserialize(MapAccessDeserializer::new(map)).map(EntityEntry::Source)
            }
        }
        deserializer.deserialize_any(Entry)
    }
}
