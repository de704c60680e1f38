//! When a rule's breaches count: `active: { days: mon-fri, hours: "09:00-18:00", except: holidays }`, in the time zone of the rule.
//!
//! Outside of these hours the rule is evaluated all the same, so that detectors go on learning; it just finds nothing.

use std::collections::BTreeSet;

use chrono::{NaiveDate, NaiveTime, Weekday};

use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::local_time::{Clock, Day, Hours, Zone};
use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::map_reader::MapReader;

const EXAMPLE: &str = "active: { days: mon-fri, hours: \"09:00-18:00\" }";
const KEYS: [&str; 3] = ["days", "hours", "except"];

/// As an author wrote it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveSpec {
    /// Days and hours.
    pub hours: Hours,
    /// The lookup of days on which the rule is not active: its column `date`, else its first one.
    pub except: Option<String>,
}

/// When breaches count.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// Days and hours.
    pub hours: Hours,
    /// In this time zone.
    pub zone: Zone,
    /// But not on these days.
    pub except: BTreeSet<NaiveDate>,
}

impl Active {
    /// Whether a breach at this instant counts.
    pub fn contains(&self, at: TimestampMs) -> bool {
        self.hours.contains(at, self.zone) && !self.except.contains(&self.zone.local(at).date())
    }
}

impl ActiveSpec {
    /// Reads the map below `active:`.
    ///
    /// # Errors
    ///
    /// All that is wrong.
    pub fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let mut read = MapReader::open("active", node, None, EXAMPLE, &KEYS)?;
        let mut spec = Self { except: read.word("except"), ..Self::default() };
        for item in read.node("days").map(days_written).unwrap_or_default() {
            match item.text().map(days) {
                Some(Ok(days)) => spec.hours.days.extend(days),
                Some(Err(hint)) => read.error(item.span.clone(), format!("{} is no day of the week", item.to_json()), Some(hint)),
                None => read.error(item.span.clone(), format!("{} is no day of the week", item.to_json()), Some(DAYS.into())),
            }
        }
        if let Some(node) = read.node("hours") {
            match node.text().and_then(hours) {
                Some((from, to)) => (spec.hours.from, spec.hours.to) = (Some(Clock(from)), Some(Clock(to))),
                None => {
                    let hint = "write from and to, in quotes: \"09:00-18:00\"; \"22:00-06:00\" ends on the next day";
                    read.error(node.span.clone(), format!("{} are no hours of the day", node.to_json()), Some(hint.into()));
                }
            }
        }
        read.finish(spec)
    }
}

const DAYS: &str = "write mon, tue, wed, thu, fri, sat, sun, or from and to: mon-fri";

fn days_written(node: &Node) -> Vec<&Node> {
    node.items().map_or_else(|| vec![node], |items| items.iter().collect())
}

/// The days of `mon` or `mon-fri`.
fn days(text: &str) -> Result<Vec<Day>, String> {
    let day = |text: &str| text.trim().parse::<Weekday>().map_err(|_| DAYS.to_string());
    let Some((from, to)) = text.split_once('-') else { return Ok(vec![Day(day(text)?)]) };
    let (from, to) = (day(from)?, day(to)?);
    let after = std::iter::successors(Some(from), |day| Some(day.succ()));
    let count = (to.num_days_from_monday() + 7 - from.num_days_from_monday()) % 7 + 1;
    Ok(after.take(count as usize).map(Day).collect())
}

fn hours(text: &str) -> Option<(NaiveTime, NaiveTime)> {
    let clock = |text: &str| match text.trim() {
        "24:00" => Some(NaiveTime::MIN),
        text => NaiveTime::parse_from_str(text, "%H:%M").ok(),
    };
    let (from, to) = text.split_once('-')?;
    Some((clock(from)?, clock(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::parse_rfc3339;

    fn active(text: &str, zone: &str, except: &[&str]) -> Active {
        let spec = ActiveSpec::parse(&Node::parse(text, 0..text.len()).unwrap()).unwrap();
        let except = except.iter().map(|date| date.parse().unwrap()).collect();
        Active { hours: spec.hours, zone: Zone(zone.parse().unwrap()), except }
    }

    #[test]
    fn working_hours_are_those_of_the_zone() {
        let seoul = active("{ days: mon-fri, hours: \"09:00-18:00\" }", "Asia/Seoul", &["2026-03-16"]);
        // Seoul is nine hours ahead. 2026-03-13 is a Friday.
        for (time, inside) in [
            ("2026-03-13T00:00:00Z", true),
            ("2026-03-12T23:59:59Z", false),
            ("2026-03-13T08:59:59Z", true),
            ("2026-03-13T09:00:00Z", false),
            ("2026-03-14T01:00:00Z", false),
            ("2026-03-16T01:00:00Z", false),
            ("2026-03-17T01:00:00Z", true),
        ] {
            assert_eq!(seoul.contains(parse_rfc3339(time).unwrap()), inside, "{time}");
        }
    }

    #[test]
    fn hours_follow_the_clocks_when_they_are_changed() {
        let berlin = active("{ hours: \"09:00-10:00\" }", "Europe/Berlin", &[]);
        for (time, inside) in [("2026-03-28T08:30:00Z", true), ("2026-03-29T08:30:00Z", false), ("2026-03-29T07:30:00Z", true)] {
            assert_eq!(berlin.contains(parse_rfc3339(time).unwrap()), inside, "{time}");
        }
    }

    #[test]
    fn days_may_be_a_list_and_pass_the_weekend() {
        let days = |text: &str| active(text, "UTC", &[]).hours.days.iter().map(|day| day.0).collect::<Vec<_>>();
        assert_eq!(days("{ days: fri-mon }"), [Weekday::Fri, Weekday::Sat, Weekday::Sun, Weekday::Mon]);
        assert_eq!(days("{ days: [mon, Thursday] }"), [Weekday::Mon, Weekday::Thu]);
        assert!(active("{ days: mon-mon }", "UTC", &[]).hours.days == [Day(Weekday::Mon)]);
    }
}
