//! Vector matching: which labels of two vectors must agree, and the join over them.

use std::collections::BTreeSet;

use promql_parser::parser::{BinModifier, LabelModifier, VectorMatchCardinality};

use crate::process::import::prometheus::relation::{ENV, Relation, columns, indented, quoted};

/// How two vectors are matched.
pub(super) struct Matching {
    /// `on(…)`: these labels and no others.
    on: Option<BTreeSet<String>>,
    ignoring: BTreeSet<String>,
    /// `group_left`, or with the sides swapped `group_right`: labels of the other side that go along.
    pub(super) group: Option<BTreeSet<String>>,
    pub(super) is_swapped: bool,
    pub(super) is_bool: bool,
    pub(super) has_fill: bool,
}

impl Matching {
    pub(super) fn of(modifier: Option<&BinModifier>) -> Self {
        let set = |labels: &promql_parser::label::Labels| labels.labels.iter().cloned().collect::<BTreeSet<String>>();
        let mut matching =
            Self { on: None, ignoring: BTreeSet::new(), group: None, is_swapped: false, is_bool: false, has_fill: false };
        let Some(modifier) = modifier else { return matching };
        matching.is_bool = modifier.return_bool;
        matching.has_fill = modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some();
        match &modifier.matching {
            Some(LabelModifier::Include(labels)) => matching.on = Some(with_env(set(labels))),
            Some(LabelModifier::Exclude(labels)) => matching.ignoring = set(labels),
            None => {}
        }
        match &modifier.card {
            VectorMatchCardinality::ManyToOne(labels) => matching.group = Some(set(labels)),
            VectorMatchCardinality::OneToMany(labels) => (matching.group, matching.is_swapped) = (Some(set(labels)), true),
            VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => {}
        }
        matching
    }

    /// The labels that the first side must have: all that the context needs, where it goes on with them.
    pub(super) fn needed_first(&self, needed: &BTreeSet<String>, keeps_all: bool) -> BTreeSet<String> {
        match &self.on {
            Some(on) if keeps_all => needed.union(on).cloned().collect(),
            Some(on) => on.clone(),
            None => needed.clone(),
        }
    }

    /// The labels that the second side must have.
    pub(super) fn needed_second(&self, needed: &BTreeSet<String>) -> BTreeSet<String> {
        let keys = match &self.on {
            Some(on) => on.clone(),
            None => needed.difference(&self.ignoring).cloned().collect(),
        };
        keys.into_iter().chain(self.group.iter().flatten().cloned()).collect()
    }

    /// The labels that must agree.
    pub(super) fn keys(&self, first: &Relation, second: &Relation) -> BTreeSet<String> {
        match &self.on {
            Some(on) => on.clone(),
            None => first.labels.union(&second.labels).filter(|label| !self.ignoring.contains(*label)).cloned().collect(),
        }
    }
}

fn with_env(mut labels: BTreeSet<String>) -> BTreeSet<String> {
    labels.insert(ENV.into());
    labels
}

/// The condition that the keys agree. A label that a side does not have is an empty text.
pub(super) fn agree(keys: &BTreeSet<String>, first: &Relation, second: &Relation) -> String {
    let of = |key: &String| {
        let name = quoted(key);
        match (first.labels.contains(key), second.labels.contains(key)) {
            (true, true) => Some(format!("l.{name} = r.{name}")),
            (true, false) if key != ENV => Some(format!("l.{name} = ''")),
            (false, true) if key != ENV => Some(format!("r.{name} = ''")),
            _ => None,
        }
    };
    let all: Vec<String> = keys.iter().filter_map(of).collect();
    if all.is_empty() { "1 = 1".into() } else { all.join(" AND ") }
}

/// The rows of `first` that have a partner, or those that have none.
pub(super) fn semi_join(first: &Relation, second: &Relation, keys: &BTreeSet<String>, has_partner: bool) -> Relation {
    let shared: BTreeSet<String> = keys.intersection(&second.labels).cloned().collect();
    let select: Vec<String> = columns("l", &first.labels).into_iter().chain(["l.sample_at".into(), "l.value".into()]).collect();
    let partner = columns("", &shared);
    let partner = if partner.is_empty() {
        format!("SELECT count(*) AS present\nFROM (\n{}\n) p\nHAVING count(*) > 0", indented(&second.sql))
    } else {
        let names = partner.join(", ");
        format!("SELECT {names}, 1 AS present\nFROM (\n{}\n) p\nGROUP BY {names}", indented(&second.sql))
    };
    let (join, filter) = if has_partner { ("JOIN", "") } else { ("LEFT JOIN", "\nWHERE r.present IS NULL") };
    let on = agree(keys, first, second);
    let sql = format!(
        "SELECT {}\nFROM (\n{}\n) l\n{join} (\n{}\n) r ON {on}{filter}",
        select.join(", "),
        indented(&first.sql),
        indented(&partner)
    );
    Relation { sql, labels: first.labels.clone(), is_unique: first.is_unique }
}
