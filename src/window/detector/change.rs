//! Detects changes: a row is a breach where the watched column has another value than before.
//!
//! The state is part of snapshots as it is: a type of its own for them would repeat all of it.

use serde::{Deserialize, Serialize};

use crate::model::limits::VALUES_PER_CHANGE_KEY_MAX;
use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::change::ChangeSpec;
use crate::rule::definition::output_columns::Breach;
use crate::window::detector::label_states::{LabelStates, LastUpdated};

/// The values of the column, for each set of the other labels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeDetector {
    spec: ChangeSpec,
    last: LabelStates<RecentValues>,
    /// Values that found no room.
    overflow: u64,
}

/// The values of one key at its last two instants. There may be several at one instant, while two versions run side by side: none of
/// them is a change as long as it was among those before.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct RecentValues {
    at: TimestampMs,
    current: Vec<WatchedValue>,
    previous: Vec<WatchedValue>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum WatchedValue {
    Text(String),
    Number(f64),
}

impl LastUpdated for RecentValues {
    fn last_updated(&self) -> TimestampMs {
        self.at
    }
}

impl ChangeDetector {
    /// A detector that has seen nothing.
    pub fn new(spec: ChangeSpec) -> Self {
        Self { last: LabelStates::new(spec.within_ms), overflow: 0, spec }
    }

    /// Returns the rows with another value than before, and adds the previous value to them. Rows come in order of time.
    pub fn detect(&mut self, rows: Vec<Breach>) -> Vec<Breach> {
        let mut changed = Vec::new();
        for mut row in rows {
            let (key, value) = match &self.spec.of {
                None => (row.labels.clone(), WatchedValue::Number(row.value)),
                Some(of) => match row.labels.get(of) {
                    Some(text) => (row.labels.filtered(|name| name != of), WatchedValue::Text(text.to_string())),
                    None => continue,
                },
            };
            let new = || RecentValues { at: row.ts, current: Vec::new(), previous: Vec::new() };
            let Some((recent, _)) = self.last.get_or_insert(&key, row.ts, new) else { continue };
            if row.ts > recent.at {
                recent.at = row.ts;
                recent.previous = std::mem::take(&mut recent.current);
            }
            if recent.current.contains(&value) {
                continue;
            }
            if recent.current.len() >= VALUES_PER_CHANGE_KEY_MAX {
                self.overflow += 1;
                continue;
            }
            if !recent.previous.is_empty() && !recent.previous.contains(&value) {
                add_previous(&recent.previous, &mut row);
                changed.push(row);
            }
            recent.current.push(value);
        }
        changed
    }

    /// Rows that found no room so far.
    pub fn overflow(&self) -> u64 {
        self.last.overflow() + self.overflow
    }

    #[cfg(test)]
    pub(crate) fn with_capacity(self, capacity: usize) -> Self {
        Self { last: self.last.with_capacity(capacity), ..self }
    }
}

fn add_previous(previous: &[WatchedValue], row: &mut Breach) {
    let mut texts = Vec::new();
    for value in previous {
        match value {
            WatchedValue::Text(text) => texts.push(text.as_str()),
            WatchedValue::Number(number) => return row.numbers.push(("previous".into(), *number)),
        }
    }
    row.texts.push(("previous".into(), texts.join(", ")));
}

#[cfg(test)]
mod tests {
    use super::ChangeDetector;
    use crate::model::limits::VALUES_PER_CHANGE_KEY_MAX;
    use crate::rule::definition::detectors::change::ChangeSpec;
    use crate::window::detector::tests::row;

    fn of_version() -> ChangeDetector {
        ChangeDetector::new(ChangeSpec { of: Some("version".into()), within_ms: 1_000 })
    }

    /// The changes at `at` as `previous > version`. Each row is a service and its version.
    fn changes(detector: &mut ChangeDetector, at: i64, rows: &[(&str, &str)]) -> Vec<String> {
        let rows = rows.iter().map(|(service, version)| row(at, &[("service", service), ("version", version)], 1.0)).collect();
        let changed = detector.detect(rows);
        changed
            .into_iter()
            .map(|it| format!("{} > {}", it.text("previous").unwrap_or_default(), it.labels.get("version").unwrap_or_default()))
            .collect()
    }

    #[test]
    fn the_first_value_is_learned_and_another_one_is_a_change() {
        let mut detector = of_version();
        assert!(changes(&mut detector, 0, &[("a", "1"), ("b", "2")]).is_empty());
        assert!(changes(&mut detector, 10, &[("a", "1"), ("b", "2")]).is_empty());
        assert_eq!(changes(&mut detector, 20, &[("a", "2"), ("b", "2")]), ["1 > 2"]);
        assert!(changes(&mut detector, 30, &[("a", "2")]).is_empty());
        assert_eq!(changes(&mut detector, 40, &[("a", "1")]), ["2 > 1"], "back is a change too");
    }

    #[test]
    fn versions_side_by_side_are_one_change() {
        let mut detector = of_version();
        changes(&mut detector, 0, &[("a", "1")]);
        assert_eq!(changes(&mut detector, 10, &[("a", "1"), ("a", "2")]), ["1 > 2"]);
        assert!(changes(&mut detector, 20, &[("a", "1"), ("a", "2")]).is_empty());
        assert!(changes(&mut detector, 30, &[("a", "2")]).is_empty());
        assert_eq!(changes(&mut detector, 40, &[("a", "3")]), ["2 > 3"]);
    }

    #[test]
    fn null_is_ignored_and_old_values_expire() {
        let mut detector = of_version();
        changes(&mut detector, 0, &[("a", "1")]);
        assert!(changes(&mut detector, 900, &[("a", "")]).is_empty());
        assert_eq!(changes(&mut detector, 1_000, &[("a", "2")]), ["1 > 2"], "exactly `within`");
        assert!(changes(&mut detector, 2_001, &[("a", "3")]).is_empty(), "the value before has expired");
    }

    #[test]
    fn the_value_can_be_watched() {
        let mut detector = ChangeDetector::new(ChangeSpec { of: None, within_ms: 1_000 });
        let changed: Vec<_> = [(0, 3.0), (1, 3.0), (2, 2.0), (3, -0.0), (4, 0.0)]
            .into_iter()
            .flat_map(|(at, value)| detector.detect(vec![row(at, &[("service", "a")], value)]))
            .map(|it| (it.ts, it.numbers))
            .collect();
        assert_eq!(changed, [(2, vec![("previous".to_string(), 3.0)]), (3, vec![("previous".to_string(), 2.0)])]);
    }

    #[test]
    fn values_over_the_capacity_are_counted() {
        let mut detector = of_version().with_capacity(1);
        changes(&mut detector, 0, &[("a", "1"), ("b", "1")]);
        assert_eq!(detector.overflow(), 1);
        let many: Vec<String> = (0..=VALUES_PER_CHANGE_KEY_MAX).map(|i| i.to_string()).collect();
        let rows: Vec<(&str, &str)> = many.iter().map(|version| ("a", version.as_str())).collect();
        changes(&mut detector, 1, &rows);
        assert_eq!(detector.overflow(), 2);
    }
}
