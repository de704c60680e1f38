//! Judges silence: the rows are who is there, the breaches are those who once were and now stay away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::labels::Labels;
use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::absence::AbsenceSpec;
use crate::rule::definition::output_columns::Breach;
use crate::window::detector::label_memory::{Memory, Remembered};

/// Who was there, and when last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Absence {
    spec: AbsenceSpec,
    known: Memory<Seen>,
    /// Those that the author expects: never forgotten, and awaited from the first evaluation on.
    expected: BTreeMap<Labels, Option<Seen>>,
}

/// The last row of one label set.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    at: TimestampMs,
    severity: Option<String>,
    numbers: Vec<(String, f64)>,
}

impl Remembered for Seen {
    fn last(&self) -> TimestampMs {
        self.at
    }
}

impl Absence {
    /// Nobody was there yet.
    pub fn new(spec: AbsenceSpec) -> Self {
        let expected = spec.expect.iter().map(|labels| (labels.clone(), None)).collect();
        // Whoever has been away for exactly `forget` is forgotten.
        Self { known: Memory::new(spec.forget_ms - 1), expected, spec }
    }

    /// Notes who is there, and yields those who have been away for long enough, by label set.
    pub fn judge(&mut self, at: TimestampMs, rows: Vec<Breach>) -> Vec<Breach> {
        for awaited in self.expected.values_mut() {
            awaited.get_or_insert(Seen { at, severity: None, numbers: Vec::new() });
        }
        for row in rows {
            let seen = Seen { at: row.ts, severity: row.severity, numbers: row.numbers };
            if let Some(expected) = self.expected.get_mut(&row.labels) {
                *expected = Some(seen);
            } else if let Some((known, _)) = self.known.recall(&row.labels, at, || seen.clone()) {
                *known = seen;
            }
        }
        self.known.forget(at);
        let awaited = self.expected.iter().filter_map(|(labels, seen)| Some((labels, seen.as_ref()?)));
        let silent = self.known.iter().chain(awaited).filter(|(_, seen)| at - seen.at >= self.spec.after_ms);
        let mut breaches: Vec<Breach> = silent.map(|(labels, seen)| silence(at, labels, seen)).collect();
        breaches.sort_by(Breach::in_order);
        breaches
    }

    /// Label sets that found no room so far.
    pub fn refused(&self) -> u64 {
        self.known.refused()
    }

    /// Whether nobody is missed, now or later.
    pub fn is_idle(&self) -> bool {
        self.known.is_empty() && self.expected.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn with_room(self, room: usize) -> Self {
        Self { known: self.known.with_room(room), ..self }
    }
}

/// The breach of who is silent: as the last row was, but the value is the seconds of silence.
fn silence(at: TimestampMs, labels: &Labels, seen: &Seen) -> Breach {
    let silent_for = (at - seen.at) as f64 / 1000.0;
    let mut numbers = seen.numbers.clone();
    numbers.push(("silent_for".into(), silent_for));
    Breach { ts: at, labels: labels.clone(), value: silent_for, severity: seen.severity.clone(), numbers, texts: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::Absence;
    use crate::rule::definition::detectors::absence::AbsenceSpec;
    use crate::window::detector::test_rows::{labels, row};

    fn absence(expect: &[&str]) -> Absence {
        let expect = expect.iter().map(|host| labels(&[("host", host)])).collect();
        Absence::new(AbsenceSpec { after_ms: 300_000, forget_ms: 900_000, expect })
    }

    /// Judges an evaluation of `minute` at which `hosts` were there; who is missed, and for how many minutes.
    fn missed(absence: &mut Absence, minute: i64, hosts: &[&str]) -> Vec<(String, f64)> {
        let at = minute * 60_000;
        let rows = hosts.iter().map(|host| row(at, &[("host", host)], 1.0)).collect();
        let breaches = absence.judge(at, rows);
        assert!(breaches.iter().all(|it| it.ts == at && it.numbers == [("silent_for".to_string(), it.value)]));
        breaches.into_iter().map(|it| (it.labels.get("host").unwrap_or_default().to_string(), it.value / 60.0)).collect()
    }

    #[test]
    fn whoever_stays_away_is_missed_from_after_until_forgotten() {
        let mut absence = absence(&[]);
        assert_eq!(missed(&mut absence, 0, &["a", "b"]), []);
        assert_eq!(missed(&mut absence, 4, &["b"]), []);
        assert_eq!(missed(&mut absence, 5, &["b"]), [("a".to_string(), 5.0)], "at exactly `after`");
        assert_eq!(missed(&mut absence, 14, &["b"]), [("a".to_string(), 14.0)]);
        assert_eq!(missed(&mut absence, 15, &["b"]), [], "forgotten");
        assert_eq!(missed(&mut absence, 25, &[]), [("b".to_string(), 10.0)]);
        assert!(!absence.is_idle());
        assert_eq!(missed(&mut absence, 30, &[]), []);
        assert!(absence.is_idle(), "nobody is known any more");
    }

    #[test]
    fn whoever_comes_back_is_missed_no_longer() {
        let mut absence = absence(&[]);
        missed(&mut absence, 0, &["a"]);
        assert_eq!(missed(&mut absence, 6, &[]).len(), 1);
        assert_eq!(missed(&mut absence, 7, &["a"]), []);
        assert_eq!(missed(&mut absence, 11, &[]), []);
        assert_eq!(missed(&mut absence, 12, &[]), [("a".to_string(), 5.0)]);
    }

    #[test]
    fn who_is_expected_is_missed_without_ever_having_come_and_never_forgotten() {
        let mut absence = absence(&["z"]);
        assert!(!absence.is_idle());
        assert_eq!(missed(&mut absence, 10, &["a"]), [], "awaited from now on");
        assert_eq!(missed(&mut absence, 15, &["a"]), [("z".to_string(), 5.0)]);
        assert_eq!(missed(&mut absence, 60, &[]), [("z".to_string(), 50.0)]);
        assert_eq!(missed(&mut absence, 61, &["z"]), []);
        assert_eq!(missed(&mut absence, 66, &[]), [("z".to_string(), 5.0)]);
    }

    #[test]
    fn the_last_row_tells_the_severity_and_the_numbers() {
        let mut absence = absence(&[]);
        let mut told = row(0, &[("host", "a")], 1.0);
        (told.severity, told.numbers) = (Some("critical".into()), vec![("cores".into(), 8.0)]);
        absence.judge(0, vec![told]);
        let breach = absence.judge(300_000, Vec::new()).remove(0);
        assert_eq!(breach.severity.as_deref(), Some("critical"));
        assert_eq!(breach.numbers, [("cores".to_string(), 8.0), ("silent_for".to_string(), 300.0)]);
    }

    #[test]
    fn who_finds_no_room_is_counted() {
        let mut absence = absence(&[]).with_room(1);
        missed(&mut absence, 0, &["a", "b"]);
        assert_eq!(absence.refused(), 1);
        assert_eq!(missed(&mut absence, 5, &[]), [("a".to_string(), 5.0)]);
    }
}
