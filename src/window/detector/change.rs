//! Judges change: a row breaches where the watched column holds what it did not hold before.

use serde::{Deserialize, Serialize};

use crate::model::limits::CONTENTS_PER_KEY_MAX;
use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::change::ChangeSpec;
use crate::rule::definition::output_columns::Breach;
use crate::window::detector::label_memory::{Memory, Remembered};

/// What the column held, for each set of the other labels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Changes {
    spec: ChangeSpec,
    last: Memory<Held>,
    /// Contents that found no room.
    refused: u64,
}

/// What the column held of one key at its last two instants. There may be several contents at one instant, while two versions
/// run side by side: none of them is a change as long as it was among those before.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held {
    at: TimestampMs,
    now: Vec<Content>,
    before: Vec<Content>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Content {
    Text(String),
    Number(f64),
}

impl Remembered for Held {
    fn last(&self) -> TimestampMs {
        self.at
    }
}

impl Changes {
    /// Nothing was held yet.
    pub fn new(spec: ChangeSpec) -> Self {
        Self { last: Memory::new(spec.within_ms), refused: 0, spec }
    }

    /// Keeps the rows that hold something else than before, with what that was. Rows come in order of time.
    pub fn judge(&mut self, rows: Vec<Breach>) -> Vec<Breach> {
        let mut changed = Vec::new();
        for mut row in rows {
            let (key, content) = match &self.spec.of {
                None => (row.labels.clone(), Content::Number(row.value)),
                Some(of) => match row.labels.get(of) {
                    Some(text) => (row.labels.filtered(|name| name != of), Content::Text(text.to_string())),
                    None => continue,
                },
            };
            let fresh = || Held { at: row.ts, now: Vec::new(), before: Vec::new() };
            let Some((held, _)) = self.last.recall(&key, row.ts, fresh) else { continue };
            if row.ts > held.at {
                held.at = row.ts;
                held.before = std::mem::take(&mut held.now);
            }
            if held.now.contains(&content) {
                continue;
            }
            if held.now.len() >= CONTENTS_PER_KEY_MAX {
                self.refused += 1;
                continue;
            }
            if !held.before.is_empty() && !held.before.contains(&content) {
                tell_previous(&held.before, &mut row);
                changed.push(row);
            }
            held.now.push(content);
        }
        changed
    }

    /// Rows that found no room so far.
    pub fn refused(&self) -> u64 {
        self.last.refused() + self.refused
    }

    #[cfg(test)]
    pub(crate) fn with_room(self, room: usize) -> Self {
        Self { last: self.last.with_room(room), ..self }
    }
}

fn tell_previous(before: &[Content], row: &mut Breach) {
    let mut texts = Vec::new();
    for content in before {
        match content {
            Content::Text(text) => texts.push(text.as_str()),
            Content::Number(number) => return row.numbers.push(("previous".into(), *number)),
        }
    }
    row.texts.push(("previous".into(), texts.join(", ")));
}

#[cfg(test)]
mod tests {
    use super::Changes;
    use crate::model::limits::CONTENTS_PER_KEY_MAX;
    use crate::rule::definition::detectors::change::ChangeSpec;
    use crate::window::detector::test_rows::row;

    fn of_version() -> Changes {
        Changes::new(ChangeSpec { of: Some("version".into()), within_ms: 1_000 })
    }

    /// Judges rows at `at`, each a service and its version; `previous > version` of the changes.
    fn changes(judge: &mut Changes, at: i64, rows: &[(&str, &str)]) -> Vec<String> {
        let rows = rows.iter().map(|(service, version)| row(at, &[("service", service), ("version", version)], 1.0)).collect();
        let told = judge.judge(rows);
        told.into_iter()
            .map(|it| format!("{} > {}", it.text("previous").unwrap_or_default(), it.labels.get("version").unwrap_or_default()))
            .collect()
    }

    #[test]
    fn the_first_content_is_learned_and_another_one_is_a_change() {
        let mut judge = of_version();
        assert!(changes(&mut judge, 0, &[("a", "1"), ("b", "2")]).is_empty());
        assert!(changes(&mut judge, 10, &[("a", "1"), ("b", "2")]).is_empty());
        assert_eq!(changes(&mut judge, 20, &[("a", "2"), ("b", "2")]), ["1 > 2"]);
        assert!(changes(&mut judge, 30, &[("a", "2")]).is_empty());
        assert_eq!(changes(&mut judge, 40, &[("a", "1")]), ["2 > 1"], "back is a change too");
    }

    #[test]
    fn versions_side_by_side_are_one_change() {
        let mut judge = of_version();
        changes(&mut judge, 0, &[("a", "1")]);
        assert_eq!(changes(&mut judge, 10, &[("a", "1"), ("a", "2")]), ["1 > 2"]);
        assert!(changes(&mut judge, 20, &[("a", "1"), ("a", "2")]).is_empty());
        assert!(changes(&mut judge, 30, &[("a", "2")]).is_empty());
        assert_eq!(changes(&mut judge, 40, &[("a", "3")]), ["2 > 3"]);
    }

    #[test]
    fn what_is_null_is_left_out_and_what_is_old_is_forgotten() {
        let mut judge = of_version();
        changes(&mut judge, 0, &[("a", "1")]);
        assert!(changes(&mut judge, 900, &[("a", "")]).is_empty());
        assert_eq!(changes(&mut judge, 1_000, &[("a", "2")]), ["1 > 2"], "exactly `within`");
        assert!(changes(&mut judge, 2_001, &[("a", "3")]).is_empty(), "nobody knows what it was");
    }

    #[test]
    fn the_value_can_be_watched() {
        let mut judge = Changes::new(ChangeSpec { of: None, within_ms: 1_000 });
        let told: Vec<_> = [(0, 3.0), (1, 3.0), (2, 2.0), (3, -0.0), (4, 0.0)]
            .into_iter()
            .flat_map(|(at, value)| judge.judge(vec![row(at, &[("service", "a")], value)]))
            .map(|it| (it.ts, it.numbers))
            .collect();
        assert_eq!(told, [(2, vec![("previous".to_string(), 3.0)]), (3, vec![("previous".to_string(), 2.0)])]);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut judge = of_version().with_room(1);
        changes(&mut judge, 0, &[("a", "1"), ("b", "1")]);
        assert_eq!(judge.refused(), 1);
        let many: Vec<String> = (0..=CONTENTS_PER_KEY_MAX).map(|i| i.to_string()).collect();
        let rows: Vec<(&str, &str)> = many.iter().map(|version| ("a", version.as_str())).collect();
        changes(&mut judge, 1, &rows);
        assert_eq!(judge.refused(), 2);
    }
}
