//! What was expected beside what came: a difference for people, line by line.

use crate::alert::Alert;
use crate::incident::revision::Revision;
use crate::model::duration::format_ms;
use crate::model::time::{TimestampMs, format_rfc3339};
use crate::process::report::plural::count;
use crate::process::testing::case::{Expectation, ExpectedAlert, ExpectedIncident, ExpectedNotification, RuleName, TestCase};
use crate::process::testing::history::History;

/// An expectation that does not hold.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Where the expectation stands in its file.
    pub(crate) offset: usize,
    /// What was compared, and a line for each thing: `-` expected and not there, `+` there and not expected.
    pub(crate) text: String,
}

/// The expectations that do not hold, in order of time.
pub(crate) fn compare(test: &TestCase, history: &History) -> Vec<Failure> {
    let mut failures = Vec::new();
    // Before the first instant, so that one at the start is not left out.
    let mut since = TimestampMs::MIN;
    for expectation in &test.expectations {
        let at = expectation.at;
        let mut fail = |what: &str, lines: Vec<String>| {
            if lines.iter().any(|line| !line.starts_with(' ')) {
                let when = format!("{} ({})", format_ms(at - test.start), format_rfc3339(at));
                let lines: String = lines.into_iter().map(|line| format!("\n    {line}")).collect();
                failures.push(Failure { offset: expectation.span.start, text: format!("at {when}, {what}:{lines}") });
            }
        };
        if let Some(expected) = &expectation.alerts {
            fail("alerts that fire", alerts(expected, expectation.rule.as_ref(), history, at));
        }
        fail("rules that must be silent", silent(expectation, history));
        if let Some(expected) = &expectation.incidents {
            fail("open incidents", incidents(expected, history, at));
        }
        if let Some(expected) = &expectation.notifications {
            let from = if since == TimestampMs::MIN { "the start".into() } else { format_ms(since - test.start) };
            fail(&format!("notifications since {from}"), notifications(expected, history, (since, at), test.start));
            since = at;
        }
    }
    failures
}

/// Pairs each expected thing with one that is there, and shows both.
fn difference<E, A>(
    expected: &[E],
    actual: &[A],
    matches: &dyn Fn(&E, &A) -> bool,
    show_expected: &dyn Fn(&E) -> String,
    show_actual: &dyn Fn(&A) -> String,
) -> Vec<String> {
    let mut taken = vec![false; actual.len()];
    let mut lines = Vec::new();
    for one in expected {
        match (0..actual.len()).find(|at| !taken[*at] && matches(one, &actual[*at])) {
            Some(at) => {
                taken[at] = true;
                lines.push(format!("  {}", show_actual(&actual[at])));
            }
            None => lines.push(format!("- {}", show_expected(one))),
        }
    }
    let more = actual.iter().zip(taken).filter(|(_, taken)| !taken);
    lines.extend(more.map(|(one, _)| format!("+ {}", show_actual(one))));
    if lines.is_empty() {
        lines.push("  none".into());
    }
    lines
}

fn alerts(expected: &[ExpectedAlert], rule: Option<&RuleName>, history: &History, at: TimestampMs) -> Vec<String> {
    let firing: Vec<&Alert> =
        history.firing_at(at).into_iter().filter(|alert| rule.is_none_or(|rule| rule.matches(&alert.rule))).collect();
    difference(expected, &firing, &|one, alert| alert_matches(one, alert), &|one| show_expected(one, rule), &|alert| {
        show_alert(alert)
    })
}

fn alert_matches(expected: &ExpectedAlert, alert: &Alert) -> bool {
    let labels_given = expected.labels.iter().all(|(key, value)| alert.labels.get(key).unwrap_or_default() == value);
    let of_squelch = |key: &str| ["env", "service", "host"].contains(&key);
    let mut labels = alert.labels.iter();
    let no_others = !expected.only_these_labels || labels.all(|(key, _)| of_squelch(key) || expected.labels.contains_key(key));
    let text = |expected: &Option<String>, text: &Option<String>| expected.is_none() || expected == text;
    labels_given
        && no_others
        && expected.rule.as_ref().is_none_or(|rule| rule.matches(&alert.rule))
        && expected.severity.is_none_or(|severity| severity == alert.severity)
        && expected.value.as_ref().is_none_or(|value| value.matches(alert.value))
        && text(&expected.summary, &alert.texts.summary)
        && text(&expected.description, &alert.texts.description)
}

fn show_expected(alert: &ExpectedAlert, rule: Option<&RuleName>) -> String {
    let rule = alert.rule.as_ref().or(rule).map_or("any rule", |rule| rule.name.as_str());
    let labels: Vec<String> = alert.labels.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
    let mut text = format!("{rule}{{{}}}", labels.join(", "));
    let value = alert.value.as_ref().map(|value| value.written.clone());
    [alert.severity.map(|severity| severity.to_string()), value].into_iter().flatten().for_each(|part| {
        text.push(' ');
        text.push_str(&part);
    });
    for (name, part) in [("summary", &alert.summary), ("description", &alert.description)] {
        if let Some(part) = part {
            text.push_str(&format!(" {name} {part:?}"));
        }
    }
    text
}

fn show_alert(alert: &Alert) -> String {
    let summary = alert.texts.summary.as_ref().map_or(String::new(), |summary| format!(" {summary:?}"));
    format!("{}{} {} {}{summary}", alert.rule, alert.labels, alert.severity, alert.value)
}

fn silent(expectation: &Expectation, history: &History) -> Vec<String> {
    let firing = history.firing_at(expectation.at);
    let loud = firing.into_iter().filter(|alert| expectation.silent.iter().any(|rule| rule.matches(&alert.rule)));
    loud.map(|alert| format!("+ {}", show_alert(alert))).collect()
}

fn rules_of(revision: &Revision) -> Vec<&str> {
    let mut rules: Vec<&str> = revision.alerts.iter().map(|alert| alert.rule.as_ref()).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn incidents(expected: &[ExpectedIncident], history: &History, at: TimestampMs) -> Vec<String> {
    let open = history.open_at(at);
    let cause = |revision: &Revision| revision.root_cause().map(|cause| cause.entity.to_string());
    let matches = |one: &ExpectedIncident, revision: &&Revision| {
        one.env.as_deref().is_none_or(|env| env == revision.env.as_ref())
            && one.severity.is_none_or(|severity| severity == revision.severity)
            && (one.cause.is_none() || one.cause == cause(revision))
            && one.entities.as_ref().is_none_or(|entities| *entities == revision.entity_names())
            && one.rules.as_ref().is_none_or(|rules| *rules == rules_of(revision))
            && one.title.as_deref().is_none_or(|title| revision.title.contains(title))
    };
    let show_expected = |one: &ExpectedIncident| {
        let list = |name: &str, words: &Option<Vec<String>>| words.as_ref().map(|words| format!("{name} {}", words.join(", ")));
        let word = |name: &str, word: &Option<String>| word.as_ref().map(|word| format!("{name} {word}"));
        let parts = [
            Some("incident".to_string()),
            one.severity.map(|severity| severity.to_string()),
            word("of", &one.env),
            word("cause", &one.cause),
            list("entities", &one.entities),
            list("rules", &one.rules),
            word("title", &one.title),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let show = |revision: &&Revision| {
        let entities = revision.entity_names().join(", ");
        let (cause, rules) = (cause(revision).unwrap_or("none".into()), rules_of(revision).join(", "));
        let (id, severity, env) = (&revision.id, revision.severity, &revision.env);
        format!("{id} {severity} of {env} cause {cause} entities {entities} rules {rules} title {}", revision.title)
    };
    difference(expected, &open, &matches, &show_expected, &show)
}

fn notifications(
    expected: &[ExpectedNotification],
    history: &History,
    (from, to): (TimestampMs, TimestampMs),
    start: TimestampMs,
) -> Vec<String> {
    let matches = |one: &ExpectedNotification, revision: &&Revision| {
        let cause = || revision.root_cause().map(|cause| cause.entity.as_ref());
        one.code.as_deref().map_or(revision.decision.is_sent(), |code| code == revision.decision.code())
            && one.at.is_none_or(|at| at == revision.updated_at)
            && one.severity.is_none_or(|severity| severity == revision.severity)
            && one.env.as_deref().is_none_or(|env| env == revision.env.as_ref())
            && one.cause.as_deref().is_none_or(|cause_expected| cause() == Some(cause_expected))
            && one.title.as_deref().is_none_or(|title| revision.title.contains(title))
    };
    let show_expected = |one: &ExpectedNotification| {
        let word = |name: &str, word: &Option<String>| word.as_ref().map(|word| format!("{name} {word}"));
        let parts = [
            Some(one.code.clone().unwrap_or("notification".into())),
            one.at.map(|at| format!("at {}", format_ms(at - start))),
            one.severity.map(|severity| severity.to_string()),
            word("of", &one.env),
            word("cause", &one.cause),
            word("title", &one.title),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let show = |revision: &&Revision| {
        let at = format_ms(revision.updated_at - start);
        let (severity, env, title) = (revision.severity, &revision.env, &revision.title);
        format!("{} at {at} {severity} of {env} title {title} ({})", revision.decision.code(), revision.decision)
    };
    let revisions: Vec<&Revision> = history.between(from, to).collect();
    // All that is sent must be expected; what is not sent is looked for only where it is expected.
    let held = |one: &&Revision| {
        let code = one.decision.code();
        expected.iter().any(|one| !one.is_sent && one.code.as_deref() == Some(code))
    };
    let sent: Vec<&Revision> = revisions.iter().copied().filter(|revision| revision.decision.is_sent()).collect();
    let silent: Vec<&Revision> = revisions.iter().copied().filter(|one| !one.decision.is_sent() && held(one)).collect();
    let (of_sent, of_silent): (Vec<_>, Vec<_>) = expected.iter().partition(|one| one.is_sent);
    let by_ref = |one: &&ExpectedNotification, revision: &&Revision| matches(one, revision);
    let show_ref = |one: &&ExpectedNotification| show_expected(one);
    let mut lines = difference(&of_sent, &sent, &by_ref, &show_ref, &show);
    let missing = of_silent.iter().filter(|one| !silent.iter().any(|revision| matches(one, revision)));
    lines.extend(missing.map(|one| format!("- {}", show_expected(one))));
    if lines.iter().any(|line| line.starts_with('-')) {
        let kept_back = revisions.iter().filter(|revision| !revision.decision.is_sent());
        lines.extend(kept_back.map(|revision| format!("  not sent: {}", show(revision))));
    }
    lines
}

/// `12 tests, 1 failed`.
pub(crate) fn totals(tests: usize, failed: usize, skipped: usize) -> String {
    let mut text = count(tests, "test");
    for (number, word) in [(failed, "failed"), (skipped, "in part not run")] {
        if number > 0 {
            text.push_str(&format!(", {number} {word}"));
        }
    }
    text
}
