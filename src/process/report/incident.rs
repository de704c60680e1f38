//! Why an incident is what it is, for somebody who was just woken: the cause, the alerts in order, why they are one incident, and when
//! people were notified. It reads published revisions alone, so that a replay's output and a live stream give the same text.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::incident::revision::NEARLY_AS_LIKELY;
use crate::model::duration::format_ms;
use crate::model::time::{DAY_MS, TimestampMs, format_clock, format_rfc3339, parse_rfc3339};
use crate::process::report::plural::count;

/// Links that are printed. The message has all of them.
const LINKS_MAX: usize = 12;

/// Describes one incident from its revisions, which are in order. `None` where there are none.
pub fn describe(revisions: &[Value]) -> Option<String> {
    let last = revisions.last()?;
    let report = Report { last, revisions, day: instant(&last["started_at"]).div_euclid(DAY_MS) };
    let mut text = String::new();
    for part in [report.head(), report.cause(), report.alerts(), report.links(), report.log()] {
        if !text.is_empty() && !part.is_empty() {
            text.push('\n');
        }
        text.push_str(&part);
    }
    Some(text)
}

struct Report<'a> {
    last: &'a Value,
    revisions: &'a [Value],
    /// The day on which it began: times of that day are printed without a date.
    day: i64,
}

impl Report<'_> {
    /// What it is, how bad, since when, and how often people were notified.
    fn head(&self) -> String {
        let last = self.last;
        let began = instant(&last["started_at"]);
        let mut text = format!("{}: {}\n", word(&last["id"]), word(&last["title"]));
        // Writing to a string cannot fail.
        let state = match last["status"].as_str() {
            Some("resolved") => {
                let ended = instant(&last["resolved_at"]);
                format!("resolved at {}, {} later", self.clock(ended), format_ms(ended - began))
            }
            Some("merged") => {
                let into = word(&last["merged_into"]);
                format!("merged into {into}: squelch explain {into}")
            }
            _ => {
                let firing = list(&last["alerts"]).iter().filter(|alert| alert["status"] == "firing").count();
                let firing = if firing == 0 { "no alert fires".into() } else { format!("{} firing", count(firing, "alert")) };
                format!("{} at {}, {firing}", word(&last["status"]), self.clock(instant(&last["updated_at"])))
            }
        };
        if let Some(whole) = last["split_from"].as_str() {
            writeln!(text, "it was split from {whole}: squelch explain {whole}").ok();
        }
        let notified = match self.revisions.iter().filter(|revision| revision["notify"]["send"] == true).count() {
            0 => "nobody was notified".into(),
            times => format!("people were notified {}", count(times, "time")),
        };
        let since = format_rfc3339(began);
        writeln!(text, "{} in {} since {since}, {state}", word(&last["severity"]), word(&last["env"])).ok();
        writeln!(text, "{notified}, in {}", count(self.revisions.len(), "revision")).ok();
        let first = self.revisions.first().and_then(|revision| revision["revision"].as_u64()).unwrap_or(1);
        if first > 1 {
            writeln!(
                text,
                "{} before these {} no longer stored",
                count(first as usize - 1, "revision"),
                if first == 2 { "is" } else { "are" }
            )
            .ok();
        }
        text
    }

    /// The likeliest cause with its reasons and runbooks, and the other candidates.
    fn cause(&self) -> String {
        let cause = &self.last["root_cause"];
        if cause.is_null() {
            return "cause unknown: none of its alerts names an entity\n".into();
        }
        let candidates = list(&self.last["candidates"]);
        let score = |at: usize| candidates.get(at).and_then(|one| one["score"].as_f64()).unwrap_or_default();
        let mut text = format!("likeliest cause: {}\n", word(&cause["entity"]));
        if score(1) > 0.0 && score(1) >= NEARLY_AS_LIKELY * score(0) {
            writeln!(text, "  nearly as likely is {}", word(&candidates[1]["entity"])).ok();
        }
        for reason in list(&cause["reasons"]) {
            writeln!(text, "  {}", word(reason)).ok();
        }
        let of_cause = list(&self.last["alerts"]).iter().filter(|alert| alert["entity"] == cause["entity"]);
        let runbooks: BTreeSet<&str> = of_cause.filter_map(|alert| alert["runbook"].as_str()).collect();
        for runbook in runbooks {
            writeln!(text, "  runbook {runbook}").ok();
        }
        if candidates.len() > 1 {
            writeln!(text, "other candidates (scores only rank them)").ok();
            let width = candidates.iter().map(|one| word(&one["entity"]).chars().count()).max().unwrap_or(0);
            for one in candidates {
                let reasons: Vec<String> = match one["entity"] == cause["entity"] {
                    true => vec!["as above".into()],
                    false => list(&one["reasons"]).iter().map(word).collect(),
                };
                let line = format!("  {:<5}  {:<width$}  {}", one["score"].to_string(), word(&one["entity"]), reasons.join("; "));
                writeln!(text, "{}", line.trim_end()).ok();
            }
        }
        text
    }

    /// The alerts in the order in which they began.
    fn alerts(&self) -> String {
        let alerts = list(&self.last["alerts"]);
        let width = alerts.iter().map(|alert| word(&alert["entity"]).chars().count()).max().unwrap_or(0);
        let mut text = "alerts, earliest first\n".to_string();
        for alert in alerts {
            let until = match alert["ended_at"].as_str() {
                Some(_) => format!("to {}", self.clock(instant(&alert["ended_at"]))),
                None => "still firing".into(),
            };
            let entity = if alert["entity"].is_null() { "-".into() } else { word(&alert["entity"]) };
            let began = self.clock(instant(&alert["started_at"]));
            let mark = if entity == word(&self.last["root_cause"]["entity"]) { "  <- cause" } else { "" };
            writeln!(text, "  {began} {until:<12}  {entity:<width$}  {:<8}  {}{mark}", word(&alert["severity"]), summary(alert))
                .ok();
        }
        text
    }

    /// Why the alerts belong together, strongest link first.
    fn links(&self) -> String {
        let links = list(&self.last["links"]);
        if links.is_empty() {
            return "it has no links: all its alerts are about the same thing, or there is only one\n".into();
        }
        let mut text = "why these alerts are one incident (scores from 0 to 1)\n".to_string();
        let mut printed = BTreeSet::new();
        let mut fresh: Vec<&Value> = links.iter().filter(|link| printed.insert(word(&link["reason"]))).collect();
        // That alerts of one entity belong together is least surprising.
        fresh.sort_by_key(|link| link["from"] == link["to"]);
        for link in fresh.iter().take(LINKS_MAX) {
            writeln!(text, "  {:<5}  {}", link["score"].to_string(), word(&link["reason"])).ok();
        }
        if fresh.len() > LINKS_MAX {
            writeln!(text, "  and {} more", fresh.len() - LINKS_MAX).ok();
        }
        text
    }

    /// Each revision with what was new in it, and why people were notified of it or not.
    fn log(&self) -> String {
        let mut text = "revisions: notified or not, and why\n".to_string();
        let mut before: Option<&Value> = None;
        for revision in self.revisions {
            let decision = if revision["notify"]["send"] == true { "NOTIFIED" } else { "silent  " };
            writeln!(
                text,
                "  {}  r{:<3} {decision} {:<10} {}",
                self.clock(instant(&revision["updated_at"])),
                revision["revision"].to_string(),
                word(&revision["change"]),
                word(&revision["notify"]["reason"])
            )
            .ok();
            for line in news(before, revision) {
                writeln!(text, "                          {line}").ok();
            }
            before = Some(revision);
        }
        text
    }

    /// The time of day, with the date where it is another day.
    fn clock(&self, at: TimestampMs) -> String {
        let clock = format_clock(at);
        if at.div_euclid(DAY_MS) == self.day { clock } else { format!("{} {clock}", &format_rfc3339(at)[..10]) }
    }
}

/// What a revision adds to the one before: new alerts, ended alerts, a higher severity, another cause.
fn news(before: Option<&Value>, revision: &Value) -> Vec<String> {
    let known = before.map_or(&[][..], |before| list(&before["alerts"]));
    let mut lines = Vec::new();
    for alert in list(&revision["alerts"]) {
        let earlier = known.iter().find(|known| same(known, alert));
        let fires = alert["status"] == "firing";
        match earlier {
            None => lines.push(format!("new: {}", summary(alert))),
            Some(earlier) if fires && earlier["severity"] != alert["severity"] => {
                lines.push(format!("now {}: {}", word(&alert["severity"]), summary(alert)));
            }
            Some(earlier) if !fires && earlier["status"] == "firing" => lines.push(format!("ended: {}", summary(alert))),
            Some(_) => {}
        }
    }
    let cause = &revision["root_cause"]["entity"];
    let is_said = revision["notify"]["send"] == true && word(&revision["notify"]["reason"]).contains(&word(cause));
    if before.is_some_and(|before| before["root_cause"]["entity"] != *cause) && !is_said {
        lines.push(format!("the likeliest cause is now {}", word(cause)));
    }
    lines
}

/// Whether two are the same alert in the same stretch of firing.
fn same(a: &Value, b: &Value) -> bool {
    a["fingerprint"] == b["fingerprint"] && a["started_at"] == b["started_at"]
}

fn summary(alert: &Value) -> String {
    word(if alert["summary"].is_null() { &alert["rule"] } else { &alert["summary"] })
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn instant(value: &Value) -> TimestampMs {
    value.as_str().and_then(parse_rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::describe;

    fn alert(entity: Option<&str>, severity: &str, ended_at: Option<&str>) -> Value {
        let status = if ended_at.is_some() { "resolved" } else { "firing" };
        json!({"fingerprint": entity.unwrap_or("none"), "rule": "slow", "status": status, "severity": severity, "entity": entity,
            "started_at": "2026-03-14T23:59:00Z", "ended_at": ended_at, "summary": null, "runbook": null})
    }

    fn revision(number: u32, cause: Value, alerts: &[Value]) -> Value {
        json!({"id": "inc-1", "revision": number, "change": "updated", "status": "open", "severity": "warning", "env": "prod",
            "title": "slow", "started_at": "2026-03-14T23:59:00Z", "updated_at": "2026-03-15T00:01:00Z", "resolved_at": null,
            "root_cause": cause, "candidates": [], "entities": [], "alerts": alerts, "links": [], "merged_into": null,
            "notify": {"send": false, "reason": "nothing new"}})
    }

    fn described(revisions: &[Value]) -> String {
        describe(revisions).unwrap()
    }

    #[test]
    fn what_is_new_in_a_revision_is_printed() {
        let (chat, auth) = (alert(Some("chat"), "warning", None), alert(Some("auth"), "warning", None));
        let first = revision(1, json!({"entity": "chat", "reasons": []}), &[chat]);
        let ended = alert(Some("chat"), "warning", Some("2026-03-15T00:00:00Z"));
        let second = revision(2, json!({"entity": "auth", "reasons": []}), &[ended, auth]);
        let third = revision(3, json!({"entity": "auth", "reasons": []}), &[alert(Some("auth"), "critical", None)]);
        let text = described(&[first, second, third]);
        for line in ["new: slow", "ended: slow", "the likeliest cause is now auth", "now critical: slow", "r3   silent   updated"]
        {
            assert!(text.contains(line), "{line}:\n{text}");
        }
        assert!(text.contains("  2026-03-15 00:01:00  r1"), "another day than that of the beginning is named:\n{text}");
        assert!(text.contains("  23:59:00 still firing  auth  critical"), "{text}");
    }

    #[test]
    fn other_candidates_are_printed_with_their_reasons() {
        let mut one = revision(1, json!({"entity": "chat", "reasons": []}), &[alert(Some("chat"), "warning", None)]);
        let of = |entity: &str, score: f64| json!({"entity": entity, "score": score, "reasons": [format!("it is {entity}")]});
        one["candidates"] = json!([of("chat", 0.9), of("auth", 0.5)]);
        let text = described(std::slice::from_ref(&one));
        assert!(text.contains("  0.9    chat  as above\n  0.5    auth  it is auth\n"), "{text}");
        assert!(!text.contains("nearly"), "{text}");
        one["candidates"] = json!([of("chat", 0.9), of("auth", 0.85)]);
        assert!(described(&[one]).contains("likeliest cause: chat\n  nearly as likely is auth\n"));
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(describe(&[]).is_none());
        let text = described(&[revision(3, Value::Null, &[alert(None, "info", None)])]);
        for line in [
            "2 revisions before these are no longer stored",
            "cause unknown",
            "it has no links",
            "nobody was notified, in 1 revision",
        ] {
            assert!(text.contains(line), "{line}:\n{text}");
        }
        let mut merged = revision(1, Value::Null, &[]);
        merged["status"] = "merged".into();
        merged["merged_into"] = "inc-0".into();
        assert!(described(&[merged]).contains("merged into inc-0: squelch explain inc-0"));
        assert!(!described(&[json!({})]).is_empty(), "a message of another shape must not panic");
    }
}
