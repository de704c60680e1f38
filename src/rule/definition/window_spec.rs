//! The keys of the front matter about time: what stretch of it an evaluation looks at, how often, and by which clock.

use serde_json::Value;

use crate::model::diagnostic::nearest;
use crate::model::duration::format_ms;
use crate::model::event::Kind;
use crate::model::limits::PANES_PER_WINDOW_MAX;
use crate::model::time::MINUTE_MS;
use crate::rule::definition::detectors::DetectorSpec;
use crate::rule::definition::detectors::map_reader::{self, Wrong};
use crate::rule::definition::front_matter::Reader;

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
pub(crate) const KEEP_INSTANT_MS: i64 = 5 * MINUTE_MS;

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

impl Reader<'_> {
    /// Exactly one of `window`, `session` and `instant`, with its `every`. A sequence is about single events as it is.
    pub(crate) fn window_spec(&mut self, detector: Option<&DetectorSpec>) -> Option<WindowSpec> {
        let instant = self.instant();
        let mut named: Vec<&'static str> = WINDOW_SPEC_KEYS.into_iter().filter(|key| self.entry(key).is_some()).collect();
        if instant == Some(false) {
            named.retain(|key| *key != "instant");
        }
        if self.entry("sequence").is_some() {
            for key in named.iter().filter(|key| **key != "instant") {
                let place = self.place(key);
                let hint = format!("leave `{key}` out; `within` is how long all steps may take");
                self.error(place, format!("`{key}` with `sequence`, which looks at each event alone"), Some(&hint));
            }
            self.not_with_single_events("sequence");
            return Some(WindowSpec::Instant);
        }
        if let [first, second, ..] = named[..] {
            let place = self.place(second);
            let hint = "`window` looks back, `session` follows each key until it pauses, `instant` looks at each event alone";
            self.error(place, format!("`{first}` and `{second}` in one rule"), Some(hint));
            return None;
        }
        match named.first().copied() {
            Some("instant") => {
                self.not_with_single_events("instant");
                Some(WindowSpec::Instant)
            }
            Some("session") => self.session(),
            Some(_) => self.window(),
            None => {
                // A detector that could not be read may have been about single events.
                let hint = match detector {
                    Some(DetectorSpec::Change(_) | DetectorSpec::FirstSeen(_)) => {
                        "say how far the rule looks back: `window: 5m`; or look at each event alone: `instant: true`"
                    }
                    _ => "say how far the rule looks back: `window: 5m`",
                };
                self.missing("window", hint);
                None
            }
        }
    }

    fn instant(&mut self) -> Option<bool> {
        let (value, place) = self.entry("instant")?;
        if !value.is_boolean() {
            self.error(place, format!("`instant` is {value}, it must be true"), Some("write `instant: true`"));
        }
        Some(value != Value::Bool(false))
    }

    fn not_with_single_events(&mut self, by: &str) {
        let whys = [
            ("for", "an event does not last: leave `for` out; `keep_firing_for` is how long the alert stays"),
            ("every", "it is evaluated as events come: leave `every` out"),
        ];
        for (key, hint) in whys {
            if let Some((_, place)) = self.entry(key) {
                self.error(place, format!("`{key}` with `{by}`, which looks at each event alone"), Some(hint));
            }
        }
    }

    fn window(&mut self) -> Option<WindowSpec> {
        let window_ms = self.duration("window");
        let every_ms = self.duration("every").or(window_ms);
        let (window_ms, every_ms) = (window_ms?, every_ms?);
        (self.over_a_second(&[("window", window_ms), ("every", every_ms)]) && self.divides("the window", window_ms, every_ms))
            .then_some(WindowSpec::Window { window_ms, every_ms })
    }

    fn session(&mut self) -> Option<WindowSpec> {
        let gap_ms = self.duration("session");
        let every_ms = self.duration("every").or(gap_ms.map(usual_every));
        let (gap_ms, every_ms) = (gap_ms?, every_ms?);
        (self.over_a_second(&[("session", gap_ms), ("every", every_ms)]) && self.divides("the session's gap", gap_ms, every_ms))
            .then_some(WindowSpec::Session { gap_ms, every_ms })
    }

    fn over_a_second(&mut self, given: &[(&'static str, i64)]) -> bool {
        for (key, value_ms) in given {
            if *value_ms < 1000 && self.entry(key).is_some() {
                let place = self.place(key);
                self.error(place, format!("`{key}` is {}, under a second", format_ms(*value_ms)), Some("use 1s or more"));
                return false;
            }
        }
        true
    }

    fn divides(&mut self, what: &str, window_ms: i64, every_ms: i64) -> bool {
        let place = self.place("every");
        if let Some(hint) = no_multiple(what, window_ms, every_ms) {
            let (w, e) = (format_ms(window_ms), format_ms(every_ms));
            self.error(place, format!("{what} of {w} is no multiple of `every`, {e}"), Some(&hint));
            return false;
        }
        if let Some((message, hint)) = too_many_panes("one window", window_ms, every_ms, &[window_ms]) {
            self.error(place, message, Some(&hint));
            return false;
        }
        true
    }

    /// The further windows, by name.
    pub(crate) fn windows(&mut self, span: Option<WindowSpec>) -> Vec<NamedWindow> {
        let Some((value, place)) = self.entry("windows") else { return Vec::new() };
        let every_ms = match span {
            Some(WindowSpec::Window { every_ms, .. }) => Some(every_ms),
            Some(_) => {
                let message = "`windows` without a `window` of the rule's own".to_string();
                self.error(place, message, Some("only rules with a `window` can look at further ones: give it one"));
                return Vec::new();
            }
            None => None,
        };
        match named_windows(&value, every_ms) {
            Ok(windows) => windows,
            Err(wrong) => {
                self.wrong_below(&place, wrong);
                Vec::new()
            }
        }
    }

    /// By which time events fall into windows.
    pub(crate) fn time(&mut self) -> TimeSource {
        let Some((value, place)) = self.entry("time") else { return TimeSource::Event };
        match value.as_str() {
            Some("event") => TimeSource::Event,
            Some("broker") => TimeSource::Broker,
            other => {
                let near = other.and_then(|word| nearest(word, ["event", "broker"]));
                let hint = near
                    .map_or("`event` is the event's own `ts`, `broker` the moment the broker received it".into(), |near| {
                        format!("did you mean `{near}`?")
                    });
                self.error(place, "`time` must be event or broker".into(), Some(&hint));
                TimeSource::Event
            }
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
fn named_windows(value: &Value, every_ms: Option<i64>) -> Result<Vec<NamedWindow>, Vec<Wrong>> {
    let example = "windows: { hour_before: { window: 1h, ago: 5m } }";
    let names: Vec<&str> = value.as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default();
    let mut read = map_reader::Reader::open("windows", value, None, example, &names)?;
    let mut windows = Vec::new();
    for name in names {
        if let Some((message, hint)) = bad_name(name) {
            read.complain_of_key(name, message, hint);
            continue;
        }
        let Some(map) = read.value(name).and_then(Value::as_object) else {
            read.complain(name, format!("the window `{name}` is no map"), Some(format!("write for example `{example}`")));
            continue;
        };
        let mut below = read.below(name, map, &WINDOW_KEYS);
        if !below.has("window") {
            below.missing("window", "say how long it is: `window: 1h`");
        }
        let window = NamedWindow { name: name.into(), window_ms: below.duration("window", 1), ago_ms: below.duration("ago", 0) };
        if let Some(every_ms) = every_ms.filter(|_| below.wrong.is_empty()) {
            fits(&window, every_ms, &mut below);
        }
        read.wrong.extend(below.wrong);
        windows.push(window);
    }
    read.finish(windows)
}

fn fits(window: &NamedWindow, every_ms: i64, read: &mut map_reader::Reader) {
    for (key, what, length_ms) in [("window", "the window", window.window_ms), ("ago", "`ago`", window.ago_ms)] {
        if let Some(hint) = no_multiple(what, length_ms, every_ms) {
            let (l, e) = (format_ms(length_ms), format_ms(every_ms));
            let hint = hint.replace("a `ago`", "an `ago`");
            read.complain(key, format!("{what} of {l} is no multiple of `every`, {e}"), Some(hint));
        }
    }
    let back_ms = window.window_ms.saturating_add(window.ago_ms);
    if let Some((message, hint)) =
        too_many_panes(&format!("`{}`", window.name), back_ms, every_ms, &[window.window_ms, window.ago_ms])
    {
        let key = if window.ago_ms > window.window_ms { "ago" } else { "window" };
        read.complain(key, message, Some(hint));
    }
}

fn bad_name(name: &str) -> Option<(String, &'static str)> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
        let hint = "use lower case letters, digits and `_`: it stands in the SQL, as in `FROM yesterday.metrics`";
        return Some((format!("{name:?} is no name for a window"), hint));
    }
    let taken = Kind::ALL.iter().any(|kind| kind.table() == name) || ["public", "information_schema"].contains(&name);
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
