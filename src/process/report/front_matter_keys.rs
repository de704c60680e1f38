//! What the keys of a rule's front matter mean, in words for `squelch explain`.

use crate::model::duration::format_ms;
use crate::rule::Rule;
use crate::rule::definition::active::Active;
use crate::rule::definition::detectors::DetectorSpec;
use crate::rule::definition::detectors::absence::AbsenceSpec;
use crate::rule::definition::detectors::change::ChangeSpec;
use crate::rule::definition::detectors::deviation::{DeviationSpec, Direction, Method, Season};
use crate::rule::definition::detectors::first_seen::FirstSeenSpec;
use crate::rule::definition::detectors::sequence::SequenceSpec;
use crate::rule::definition::front_matter::FrontMatter;
use crate::rule::definition::window_spec::{NamedWindow, TimeSource, WindowSpec};

/// What stretch of time an evaluation looks at.
pub(crate) fn span(front: &FrontMatter) -> String {
    let every = format_ms(front.every_ms);
    match front.window_spec {
        WindowSpec::Window { window_ms, every_ms } if window_ms == every_ms => {
            format!("tumbling, {}: one evaluation when it ends", format_ms(window_ms))
        }
        WindowSpec::Window { window_ms, every_ms } => {
            let panes = window_ms / every_ms;
            let how = if panes > 8 { "merged of roll-ups" } else { "merged at each evaluation" };
            format!("hopping, the last {} every {every}: {panes} panes, {how}", format_ms(window_ms))
        }
        WindowSpec::Session { gap_ms, .. } => {
            format!("session, per key all since it last paused for {}; evaluated every {every}", format_ms(gap_ms))
        }
        WindowSpec::Instant => "none: each event is looked at alone, at its own time".into(),
    }
}

/// By which time events fall into windows, where it is not their own.
pub(crate) fn time(front: &FrontMatter) -> Option<String> {
    (front.time == TimeSource::Broker).then(|| "the broker's: events count when it received them".into())
}

/// When its breaches count, where not always.
pub(crate) fn active(rule: &Rule) -> Option<String> {
    let Active { hours, zone, except } = rule.active.as_ref()?;
    let days: Vec<String> = hours.days.iter().map(|day| day.0.to_string()).collect();
    let days = if days.is_empty() { "every day".into() } else { days.join(", ") };
    let times = match (hours.from, hours.to) {
        (Some(from), Some(to)) => format!(" from {from} to {to}"),
        _ => String::new(),
    };
    let except = if except.is_empty() { String::new() } else { format!(", but for {} days", except.len()) };
    Some(format!("{days}{times}, {}{except}", zone.0.name()))
}

/// From when on the rule is evaluated, where it waits for its windows.
pub(crate) fn waits(front: &FrontMatter) -> Option<String> {
    let back_ms = front.windows.iter().map(|window| window.window_ms + window.ago_ms).max()?;
    Some(format!("when its windows are whole, {} after the first event", format_ms(back_ms)))
}

/// One further window.
pub(crate) fn named_window(window: &NamedWindow) -> String {
    let length = format_ms(window.window_ms);
    match window.ago_ms {
        0 => format!("`{}`: the last {length}", window.name),
        ago_ms => format!("`{}`: the {length} that ended {} ago", window.name, format_ms(ago_ms)),
    }
}

/// A plan's text without the types of what the author wrote: `Int64(9)` is 9, `Utf8("a")` is 'a'.
pub(crate) fn plain(text: &str) -> String {
    const TYPES: [(&str, char); 7] = [
        ("LargeUtf8(\"", '"'),
        ("Utf8View(\"", '"'),
        ("Utf8(\"", '"'),
        ("UInt64(", ')'),
        ("Float64(", ')'),
        ("Int64(", ')'),
        ("Boolean(", ')'),
    ];
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let typed = TYPES.iter().find_map(|(open, close)| {
            let (inside, after) = rest.strip_prefix(open)?.split_once(*close)?;
            Some(match close {
                '"' => (format!("'{inside}'"), after.strip_prefix(')')?),
                _ => (inside.to_string(), after),
            })
        });
        let (said, after) = typed.unwrap_or_else(|| (next.to_string(), &rest[next.len_utf8()..]));
        plain.push_str(&said);
        rest = after;
    }
    plain.replace("count(1) AS count(*)", "count(*)").replace("count(1)", "count(*)")
}

/// Which rows are breaches, where not all are.
pub(crate) fn breaches(judge: &DetectorSpec) -> String {
    match judge {
        DetectorSpec::Deviation(spec) => deviation(spec),
        DetectorSpec::Absence(spec) => absence(spec),
        DetectorSpec::FirstSeen(spec) => first_seen(spec),
        DetectorSpec::Change(spec) => change(spec),
        DetectorSpec::Sequence(spec) => sequence(spec),
    }
}

fn deviation(spec: &DeviationSpec) -> String {
    let way = match spec.direction {
        Direction::Up => "above",
        Direction::Down => "below",
        Direction::Both => "from",
    };
    let (middle, one) = match spec.method {
        Method::Median => ("median", "1.4826 MAD".to_string()),
        Method::Tail => ("median", "the larger of 1.4826 MAD and the tail's scale".to_string()),
        Method::Ewma { half_life_ms } => {
            ("weighted mean", format!("the weighted standard deviation, weights halve every {}", format_ms(half_life_ms)))
        }
    };
    let (which, history) = match spec.season {
        Season::None => (String::new(), "values"),
        Season::Day => (" at the same hour of the day".into(), "earlier days"),
        Season::LocalDay(zone) => (format!(" at the same hour of the day in {}", zone.0.name()), "earlier days"),
        Season::Week => (" at the same hour of the week".into(), "earlier weeks"),
        Season::LocalWeek(zone) => (format!(" at the same hour of the week in {}", zone.0.name()), "earlier weeks"),
    };
    let settle = match spec.settle_ms {
        0 => String::new(),
        settle_ms => format!("; what departs is learned after {}", format_ms(settle_ms)),
    };
    let share = spec.floor_share * 100.0;
    format!(
        "where the value is {} deviations or more {way} the {middle} of its last {}{which} (after {} {history}; one deviation is {one}, at least {share}% of the {middle} and {}{settle})",
        spec.score,
        format_ms(spec.over_ms),
        spec.min_history,
        spec.floor_value
    )
}

fn absence(spec: &AbsenceSpec) -> String {
    let expected = match spec.expect.len() {
        0 => String::new(),
        many => format!("; {many} expected from the start, and never forgotten"),
    };
    let (after, forget) = (format_ms(spec.after_ms), format_ms(spec.forget_ms));
    format!("where a label set that was there has stayed away for {after} or more, up to {forget}{expected}")
}

fn first_seen(spec: &FirstSeenSpec) -> String {
    let per = if spec.per.is_empty() { String::new() } else { format!(" for each {}", spec.per.join(" and ")) };
    let (forget, learn) = (format_ms(spec.forget_ms), format_ms(spec.learn_ms));
    format!(
        "where a label set was not seen in the last {forget}; all is learned in silence for {learn} from the first row on{per}"
    )
}

fn change(spec: &ChangeSpec) -> String {
    let of = spec.of.as_deref().unwrap_or("value");
    format!("where `{of}` is another than the last one of the other labels, within {}", format_ms(spec.within_ms))
}

fn sequence(spec: &SequenceSpec) -> String {
    let (all, order) = if spec.ordered { (spec.steps.join(", then "), "") } else { (spec.steps.join(" and "), ", in any order") };
    format!("where a row completes {all}{order} within {}", format_ms(spec.within_ms))
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn plans_are_told_without_types() {
        let plan =
            r#"Filter: count(Int64(1)) > Int64(9) AND l.body LIKE Utf8View("a (b)%") OR CAST(x AS Float64) = Float64(0.5)"#;
        assert_eq!(plain(plan), "Filter: count(*) > 9 AND l.body LIKE 'a (b)%' OR CAST(x AS Float64) = 0.5");
    }
}
