//! The routes as a configuration of Alertmanager: what its clients (`amtool config routes`, Grafana) show of who is notified.
//!
//! It is JSON, which YAML's readers take. A route to several receivers becomes as many routes, all but the last of which continue. What
//! Alertmanager has no words for, an escalation, is left out.

use std::collections::BTreeSet;

use chrono::Weekday;
use serde_json::{Value, json};

use crate::model::local_time::{Clock, Hours};
use crate::model::severity::Severity;
use crate::notify::route::{Condition, Route, Router};

impl Router {
    /// As Alertmanager's configuration. `nobody` is the receiver of what no route matches.
    pub fn as_alertmanager(&self, nobody: &str) -> String {
        let mut receivers: BTreeSet<&str> = BTreeSet::from([nobody]);
        let (mut routes, mut intervals) = (Vec::new(), Vec::new());
        for route in &self.routes {
            receivers.extend(route.to.iter().map(String::as_str));
            let hours = route.conditions.iter().find_map(|condition| match condition {
                Condition::Time(hours) => Some(hours),
                _ => None,
            });
            if let Some(hours) = hours {
                intervals.push(json!({"name": route.name, "time_intervals": time_intervals(hours, self.zone.0.name())}));
            }
            routes.extend(route.as_alertmanager(nobody, hours.is_some()));
        }
        let receivers: Vec<Value> = receivers.iter().map(|name| json!({"name": name})).collect();
        let mut config =
            json!({"route": {"receiver": nobody, "group_by": ["incident"], "routes": routes}, "receivers": receivers});
        if !intervals.is_empty() {
            config["time_intervals"] = intervals.into();
        }
        format!("{config:#}\n")
    }
}

impl Route {
    fn as_alertmanager(&self, nobody: &str, has_hours: bool) -> Vec<Value> {
        let matchers: Vec<String> = self.conditions.iter().filter_map(matcher).collect();
        let to: Vec<&str> = if self.to.is_empty() { vec![nobody] } else { self.to.iter().map(String::as_str).collect() };
        let of = |(at, receiver): (usize, &&str)| {
            let mut route = json!({"receiver": receiver, "continue": self.goes_on || at + 1 < to.len()});
            if !matchers.is_empty() {
                route["matchers"] = json!(matchers);
            }
            if has_hours {
                route["active_time_intervals"] = json!([self.name]);
            }
            route
        };
        to.iter().enumerate().map(of).collect()
    }
}

/// A condition on a label; `None` for one on the time.
fn matcher(condition: &Condition) -> Option<String> {
    let (label, names): (&str, Vec<&str>) = match condition {
        Condition::Env(names) => ("env", names.names()),
        Condition::Severity(all) => ("severity", all.iter().copied().map(Severity::as_str).collect()),
        Condition::Team(names) => ("team", names.names()),
        Condition::Entity(names) => ("service", names.names()),
        Condition::Rule(names) => ("alertname", names.names()),
        Condition::Label(label, names) => (label.as_str(), names.names()),
        Condition::Time(_) => return None,
    };
    let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
    Some(match names.as_slice() {
        [name] if !name.contains('*') => format!("{label}={}", quoted(name)),
        names => {
            let pattern = |name: &&str| name.split('*').map(regex::escape).collect::<Vec<_>>().join(".*");
            format!("{label}=~{}", quoted(&names.iter().map(pattern).collect::<Vec<_>>().join("|")))
        }
    })
}

/// Hours that go past midnight are two intervals, since Alertmanager's end on the same day.
fn time_intervals(hours: &Hours, zone: &str) -> Vec<Value> {
    let clock = |of: &Option<Clock>, midnight: &str| of.map_or(midnight.to_string(), |clock| clock.0.format("%H:%M").to_string());
    let (from, to) = (clock(&hours.from, "00:00"), clock(&hours.to, "24:00"));
    let interval = |start: &str, end: &str, days: Vec<Weekday>| {
        let mut interval = json!({"times": [{"start_time": start, "end_time": end}], "location": zone});
        if !days.is_empty() {
            interval["weekdays"] = days.into_iter().map(day).collect();
        }
        interval
    };
    let days: Vec<Weekday> = hours.days.iter().map(|day| day.0).collect();
    if from < to {
        return vec![interval(&from, &to, days)];
    }
    let next = days.iter().map(Weekday::succ).collect();
    let before_midnight = interval(&from, "24:00", days);
    if to == "00:00" { vec![before_midnight] } else { vec![before_midnight, interval("00:00", &to, next)] }
}

fn day(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "monday",
        Weekday::Tue => "tuesday",
        Weekday::Wed => "wednesday",
        Weekday::Thu => "thursday",
        Weekday::Fri => "friday",
        Weekday::Sat => "saturday",
        Weekday::Sun => "sunday",
    }
}
