//! The keys of the front matter about time: what stretch of it an evaluation looks at, how often, and by which clock.

use serde_json::Value;

use crate::model::diagnostic::yaml_tree::Node;
use crate::model::diagnostic::{Diagnostic, nearest};
use crate::model::duration::format_ms;
use crate::model::event::Kind;
use crate::model::limits::PANES_PER_WINDOW_MAX;
use crate::model::time::MINUTE_MS;
use crate::rule::definition::detectors::DetectorSpec;
use crate::rule::definition::detectors::map_reader::MapReader;
use crate::rule::definition::key_reader::KeyReader;

/// What stretch of time one evaluation looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowSpec {
    /// The last `window_ms`, each `every_ms`.
    Window {
        /// How far one evaluation looks back.
        window_ms: i64,
        /// How often the rule is evaluated; the window is a multiple of it.
        every_ms: i64,
    },
    /// For each key all since it last paused for `gap_ms`, each `every_ms`.
    Session {
        /// The silence that ends a session.
        gap_ms: i64,
        /// How often the rule is evaluated; the gap is a multiple of it.
        every_ms: i64,
    },
    /// Each event alone.
    Instant,
}

/// How often rules about single events are evaluated: the stretches of time in which their breaches are handed on.
const INSTANT_MS: i64 = 1000;

/// How long the alert of a single event stays where the author is silent.
pub const KEEP_INSTANT_MS: i64 = 5 * MINUTE_MS;

impl WindowSpec {
    /// How far one evaluation looks back: the window, a session's gap, a second for single events.
    pub fn window_ms(self) -> i64 {
        match self {
            WindowSpec::Window { window_ms, .. } => window_ms,
            WindowSpec::Session { gap_ms, .. } => gap_ms,
            WindowSpec::Instant => INSTANT_MS,
        }
    }

    /// How often the rule is evaluated.
    pub fn every_ms(self) -> i64 {
        match self {
            WindowSpec::Window { every_ms, .. } | WindowSpec::Session { every_ms, .. } => every_ms,
            WindowSpec::Instant => INSTANT_MS,
        }
    }
}

/// A further window of the same rule, which its SQL asks for by name: `FROM yesterday.metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedWindow {
    /// An SQL identifier in lower case.
    pub name: String,
    /// How long it is.
    pub window_ms: i64,
    /// How long before the evaluation it ends.
    pub ago_ms: i64,
}

/// By which time events fall into windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeSource {
    /// The event's own `ts`.
    #[default]
    Event,
    /// The moment at which the broker received it.
    Broker,
}

const WINDOW_SPEC_KEYS: [&str; 3] = ["window", "session", "instant"];

/// Exactly one of `window`, `session` and `instant`, with its `every`. A sequence is about single events as it is.
pub fn read(read: &mut KeyReader, detector: Option<&DetectorSpec>) -> Option<WindowSpec> {
    let instant = instant(read);
    let mut named: Vec<&'static str> = WINDOW_SPEC_KEYS.into_iter().filter(|key| read.has(key)).collect();
    if instant == Some(false) {
        named.retain(|key| *key != "instant");
    }
    if read.has("sequence") {
        for key in named.iter().filter(|key| **key != "instant") {
            let hint = format!("leave `{key}` out; `within` is how long all steps may take");
            read.error(read.place(key), format!("`{key}` with `sequence`, which looks at each event alone"), &hint);
        }
        not_with_single_events(read, "sequence");
        return Some(WindowSpec::Instant);
    }
    if let [first, second, ..] = named[..] {
        let hint = "`window` looks back, `session` follows each key until it pauses, `instant` looks at each event alone";
        read.error(read.place(second), format!("`{first}` and `{second}` in one rule"), hint);
        return None;
    }
    match named.first().copied() {
        Some("instant") => {
            not_with_single_events(read, "instant");
            Some(WindowSpec::Instant)
        }
        Some("session") => session(read),
        Some(_) => window(read),
        None => {
            // A detector that could not be read may have been about single events.
            let hint = match detector {
                Some(DetectorSpec::Change(_) | DetectorSpec::FirstSeen(_)) => {
                    "say how far the rule looks back: `window: 5m`; or look at each event alone: `instant: true`"
                }
                _ => "say how far the rule looks back: `window: 5m`",
            };
            read.missing("window", hint);
            None
        }
    }
}

fn instant(read: &mut KeyReader) -> Option<bool> {
    let node = read.node("instant")?;
    let flag = node.scalar().and_then(Value::as_bool);
    if flag.is_none() {
        let message = format!("`instant` is {}, it must be true", node.to_json());
        read.error(node.span.clone(), message, "write `instant: true`");
    }
    Some(flag != Some(false))
}

fn not_with_single_events(read: &mut KeyReader, by: &str) {
    let whys = [
        ("for", "an event does not last: leave `for` out; `keep_firing_for` is how long the alert stays"),
        ("every", "it is evaluated as events come: leave `every` out"),
    ];
    for (key, hint) in whys {
        if read.has(key) {
            read.error(read.place(key), format!("`{key}` with `{by}`, which looks at each event alone"), hint);
        }
    }
}

fn window(read: &mut KeyReader) -> Option<WindowSpec> {
    let window_ms = read.duration("window");
    let every_ms = read.duration("every").or(window_ms);
    let (window_ms, every_ms) = (window_ms?, every_ms?);
    (over_a_second(read, &[("window", window_ms), ("every", every_ms)]) && divides(read, "the window", window_ms, every_ms))
        .then_some(WindowSpec::Window { window_ms, every_ms })
}

fn session(read: &mut KeyReader) -> Option<WindowSpec> {
    let gap_ms = read.duration("session");
    let every_ms = read.duration("every").or(gap_ms.map(usual_every));
    let (gap_ms, every_ms) = (gap_ms?, every_ms?);
    (over_a_second(read, &[("session", gap_ms), ("every", every_ms)]) && divides(read, "the session's gap", gap_ms, every_ms))
        .then_some(WindowSpec::Session { gap_ms, every_ms })
}

fn over_a_second(read: &mut KeyReader, given: &[(&'static str, i64)]) -> bool {
    for (key, value_ms) in given {
        if *value_ms < 1000 && read.has(key) {
            read.error(read.place(key), format!("`{key}` is {}, under a second", format_ms(*value_ms)), "use 1s or more");
            return false;
        }
    }
    true
}

fn divides(read: &mut KeyReader, what: &str, window_ms: i64, every_ms: i64) -> bool {
    let place = read.place("every");
    if let Some(hint) = no_multiple(what, window_ms, every_ms) {
        let (w, e) = (format_ms(window_ms), format_ms(every_ms));
        read.error(place, format!("{what} of {w} is no multiple of `every`, {e}"), &hint);
        return false;
    }
    if let Some((message, hint)) = too_many_panes("one window", window_ms, every_ms, &[window_ms]) {
        read.error(place, message, &hint);
        return false;
    }
    true
}

/// The further windows, by name.
pub fn read_named(read: &mut KeyReader, window_spec: Option<WindowSpec>) -> Vec<NamedWindow> {
    let Some(node) = read.node("windows") else { return Vec::new() };
    let every_ms = match window_spec {
        Some(WindowSpec::Window { every_ms, .. }) => Some(every_ms),
        Some(_) => {
            let hint = "only rules with a `window` can look at further ones: give it one";
            read.error(node.span.clone(), "`windows` without a `window` of the rule's own", hint);
            return Vec::new();
        }
        None => None,
    };
    named_windows(node, every_ms).unwrap_or_else(|errors| {
        read.errors(errors);
        Vec::new()
    })
}

/// By which time events fall into windows.
pub fn read_time(read: &mut KeyReader) -> TimeSource {
    let Some(node) = read.node("time") else { return TimeSource::Event };
    match node.text() {
        Some("event") => TimeSource::Event,
        Some("broker") => TimeSource::Broker,
        other => {
            let near = other.and_then(|word| nearest(word, ["event", "broker"]));
            let hint = near
                .map_or("`event` is the event's own `ts`, `broker` the moment the broker received it".into(), |near| {
                    format!("did you mean `{near}`?")
                });
            read.error(node.span.clone(), "`time` must be event or broker", &hint);
            TimeSource::Event
        }
    }
}

/// The longest evenly dividing `every` of a minute at most; the gap itself where there is none of a second or more.
fn usual_every(gap_ms: i64) -> i64 {
    let parts = (gap_ms / MINUTE_MS).max(1)..=(gap_ms / 1000).clamp(1, PANES_PER_WINDOW_MAX);
    let mut all = parts.filter(|parts| gap_ms % parts == 0).map(|parts| gap_ms / parts);
    all.find(|every_ms| *every_ms <= MINUTE_MS).unwrap_or(gap_ms)
}

/// How to mend a window that is no multiple of `every`; `None` where it is one.
fn no_multiple(what: &str, window_ms: i64, every_ms: i64) -> Option<String> {
    let down = window_ms / every_ms * every_ms;
    if down == window_ms {
        return None;
    }
    let e = format_ms(every_ms);
    let hint = if down == 0 {
        format!("`every` may be at most {what}, {}", format_ms(window_ms))
    } else {
        let noun = what.rsplit(' ').next().unwrap_or(what);
        let (down, up) = (format_ms(down), format_ms(down.saturating_add(every_ms)));
        format!("with `every: {e}` a {noun} of {down} or {up} would do")
    };
    Some(hint)
}

/// What to say of a stretch that takes more panes than one may; `lengths` are all that `every` must divide.
fn too_many_panes(of: &str, stretch_ms: i64, every_ms: i64, lengths: &[i64]) -> Option<(String, String)> {
    let panes = stretch_ms / every_ms;
    if panes <= PANES_PER_WINDOW_MAX {
        return None;
    }
    let hint = match round_divisor(stretch_ms, lengths) {
        Some(every_ms) => format!("use `every: {}` or more", format_ms(every_ms)),
        None => "use a shorter window".into(),
    };
    Some((format!("{panes} panes in {of}, the limit is {PANES_PER_WINDOW_MAX}"), hint))
}

/// The smallest round duration that cuts `stretch_ms` into few enough panes and divides all of `lengths`.
fn round_divisor(stretch_ms: i64, lengths: &[i64]) -> Option<i64> {
    const ROUND_S: [i64; 21] =
        [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400];
    let mut round_ms = ROUND_S.into_iter().map(|seconds| seconds * 1000);
    round_ms.find(|every_ms| lengths.iter().all(|length| length % every_ms == 0) && stretch_ms / every_ms <= PANES_PER_WINDOW_MAX)
}

/// The keys of one further window.
const WINDOW_KEYS: [&str; 2] = ["window", "ago"];

/// Reads the map below `windows:`. Without `every_ms`, which is wrong itself then, nothing is measured by it.
fn named_windows(node: &Node, every_ms: Option<i64>) -> Result<Vec<NamedWindow>, Vec<Diagnostic>> {
    let example = "windows: { hour_before: { window: 1h, ago: 5m } }";
    let names: Vec<&str> = node.entries().iter().map(|entry| entry.key.as_str()).collect();
    let mut read = MapReader::open("windows", node, None, example, &names)?;
    let mut windows = Vec::new();
    for entry in node.entries() {
        let name = entry.key.as_str();
        if let Some((message, hint)) = bad_name(name) {
            read.error(entry.key_span.clone(), message, Some(hint.into()));
            continue;
        }
        if !entry.node.is_map() {
            let hint = format!("write for example `{example}`");
            read.error(entry.node.span.clone(), format!("the window `{name}` is no map"), Some(hint));
            continue;
        }
        let mut below = read.below(name, &entry.node, &WINDOW_KEYS);
        if !below.has("window") {
            below.missing("window", "say how long it is: `window: 1h`");
        }
        let window = NamedWindow { name: name.into(), window_ms: below.duration("window", 1), ago_ms: below.duration("ago", 0) };
        if let Some(every_ms) = every_ms.filter(|_| below.errors.is_empty()) {
            fits(&window, every_ms, &mut below);
        }
        read.errors.extend(below.errors);
        windows.push(window);
    }
    windows.sort_by(|a, b| a.name.cmp(&b.name));
    read.finish(windows)
}

fn fits(window: &NamedWindow, every_ms: i64, read: &mut MapReader) {
    for (key, what, length_ms) in [("window", "the window", window.window_ms), ("ago", "`ago`", window.ago_ms)] {
        if let Some(hint) = no_multiple(what, length_ms, every_ms) {
            let (l, e) = (format_ms(length_ms), format_ms(every_ms));
            let hint = hint.replace("a `ago`", "an `ago`");
            read.error_at(key, format!("{what} of {l} is no multiple of `every`, {e}"), Some(hint));
        }
    }
    let back_ms = window.window_ms.saturating_add(window.ago_ms);
    if let Some((message, hint)) =
        too_many_panes(&format!("`{}`", window.name), back_ms, every_ms, &[window.window_ms, window.ago_ms])
    {
        let key = if window.ago_ms > window.window_ms { "ago" } else { "window" };
        read.error_at(key, message, Some(hint));
    }
}

fn bad_name(name: &str) -> Option<(String, &'static str)> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
        let hint = "use lower case letters, digits and `_`: it stands in the SQL, as in `FROM yesterday.metrics`";
        return Some((format!("{name:?} is no name for a window"), hint));
    }
    let taken = Kind::ALL.iter().any(|kind| kind.table() == name) || ["public", "information_schema", "lookup"].contains(&name);
    taken.then(|| (format!("`{name}` means something else in SQL"), "call the window by what it is: `yesterday`, `hour_before`"))
}

#[cfg(test)]
mod tests {
    use super::usual_every;

    #[test]
    fn sessions_are_looked_at_each_minute_or_what_divides_the_gap() {
        let got = [600, 30, 60, 90, 100, 420].map(|seconds| usual_every(seconds * 1000) / 1000);
        assert_eq!(got, [60, 30, 60, 45, 50, 60]);
        assert_eq!(usual_every(60_001), 2_069);
        assert_eq!(usual_every(1_009), 1_009);
    }
}
