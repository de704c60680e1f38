//! Which receivers an incident goes to, and by which line of the settings.

mod as_alertmanager;

use std::fmt;

use serde_saphyr::Spanned;

use crate::alert::external_entity::NamePattern;
use crate::model::duration::format_ms;
use crate::model::local_time::{Hours, Zone};
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;
use crate::notify::incident_view::{AlertView, IncidentView};
use crate::notify::settings::check::{Notifiers, Routes};
use crate::notify::settings::names::Names;
use crate::notify::settings::route_config::{MatchConfig, RouteConfig};

/// All routes, in order.
#[derive(Clone, Debug, Default)]
pub struct Router {
    routes: Vec<Route>,
    zone: Zone,
}

/// One line.
#[derive(Clone, Debug)]
struct Route {
    /// As people know it: `line 12`, or what the default is.
    name: String,
    conditions: Vec<Condition>,
    to: Vec<String>,
    escalate: Vec<(i64, Vec<String>)>,
    goes_on: bool,
}

/// One thing that must hold.
#[derive(Clone, Debug)]
enum Condition {
    Env(Patterns),
    Severity(Vec<Severity>),
    Team(Patterns),
    Entity(Patterns),
    Rule(Patterns),
    /// Of one alert.
    Label(String, Patterns),
    Time(Hours),
}

/// Texts, in which `*` stands for any text.
#[derive(Clone, Debug)]
struct Patterns {
    /// As they are written, with each its pattern.
    patterns: Vec<(String, NamePattern)>,
}

/// When a receiver is notified of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// At once.
    Now,
    /// So long after the first notification, unless somebody acknowledges.
    After(i64),
}

/// What one route makes of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which route.
    pub route: String,
    /// What does not hold; nothing where it matches.
    pub mismatch: Option<String>,
    /// Whom it notifies, and when.
    pub targets: Vec<(String, Target)>,
    /// Whether the routes after it are looked at.
    pub goes_on: bool,
}

impl Router {
    /// The routes of the settings; those of the strategy where there are none.
    pub fn new(notifiers: &Notifiers, routes: &Routes, zone: Zone) -> Self {
        let routes = if routes.is_empty() { defaults(notifiers) } else { routes.iter().map(Route::of).collect() };
        Self { routes, zone }
    }

    /// When this receiver is notified of the incident; `None` for never.
    pub fn target(&self, receiver: &str, incident: &IncidentView, at_ms: TimestampMs) -> Option<Target> {
        let steps = self.explain(incident, at_ms);
        let targets = steps.into_iter().filter(|step| step.mismatch.is_none()).flat_map(|step| step.targets);
        targets.filter(|(name, _)| name == receiver).map(|(_, target)| target).min()
    }

    /// What each route makes of the incident, as far as they are looked at.
    pub fn explain(&self, incident: &IncidentView, at_ms: TimestampMs) -> Vec<Step> {
        let mut steps = Vec::new();
        for route in &self.routes {
            let mismatch = route.conditions.iter().find_map(|condition| condition.mismatch(incident, at_ms, self.zone));
            let ends = mismatch.is_none() && !route.goes_on;
            steps.push(Step { route: route.name.clone(), mismatch, targets: route.targets(), goes_on: route.goes_on });
            if ends {
                break;
            }
        }
        steps
    }

    /// Whether the time of day decides anything.
    pub fn asks_for_time(&self) -> bool {
        self.routes.iter().flat_map(|route| &route.conditions).any(|condition| matches!(condition, Condition::Time(_)))
    }
}

impl Route {
    fn of(config: &Spanned<RouteConfig>) -> Self {
        let RouteConfig { matches, to, goes_on, escalate } = &config.value;
        let names = |names: &[Spanned<String>]| names.iter().map(|name| name.value.clone()).collect::<Vec<_>>();
        Self {
            name: format!("line {}", config.referenced.line()),
            conditions: conditions(matches),
            to: names(to),
            escalate: escalate.iter().map(|step| (step.value.after.0, names(&step.value.to))).collect(),
            goes_on: *goes_on,
        }
    }

    fn targets(&self) -> Vec<(String, Target)> {
        let now = self.to.iter().map(|name| (name.clone(), Target::Now));
        let later = self.escalate.iter().flat_map(|(after, to)| to.iter().map(|name| (name.clone(), Target::After(*after))));
        now.chain(later).collect()
    }
}

/// Critical to pagers, chats and mail; warnings to chats and mail; infos to chats; everything to what keeps records.
fn defaults(notifiers: &Notifiers) -> Vec<Route> {
    let of_kinds = |kinds: &[&str]| -> Vec<String> {
        let wanted = notifiers.iter().filter(|(_, receiver)| receiver.value.kinds().iter().any(|kind| kinds.contains(kind)));
        wanted.map(|(name, _)| name.clone()).collect()
    };
    let people = ["pagerduty", "slack", "teams", "email"];
    let records: Vec<String> = notifiers
        .iter()
        .filter(|(_, receiver)| !receiver.value.kinds().iter().any(|kind| people.contains(kind)))
        .map(|(name, _)| name.clone())
        .collect();
    let everything =
        Route { name: "default: everything".into(), conditions: Vec::new(), to: records, escalate: Vec::new(), goes_on: true };
    let of = |severity: Severity, kinds: &[&str]| Route {
        name: format!("default: {severity}"),
        conditions: vec![Condition::Severity(vec![severity])],
        to: of_kinds(kinds),
        escalate: Vec::new(),
        goes_on: false,
    };
    vec![
        everything,
        of(Severity::Critical, &people),
        of(Severity::Warning, &["slack", "teams", "email"]),
        of(Severity::Info, &["slack", "teams"]),
    ]
}

fn conditions(matches: &MatchConfig) -> Vec<Condition> {
    let patterns = |names: &Option<Names>| names.as_ref().map(Patterns::of);
    let severity = matches.severity.as_ref().map(|names| names.value.0.iter().filter_map(|name| name.parse().ok()).collect());
    let single = [
        patterns(&matches.env).map(Condition::Env),
        severity.map(Condition::Severity),
        patterns(&matches.area).map(|area| Condition::Label("area".into(), area)),
        patterns(&matches.team).map(Condition::Team),
        patterns(&matches.entity).map(Condition::Entity),
        patterns(&matches.rule).map(Condition::Rule),
    ];
    let labels = matches.labels.iter().map(|(label, names)| Condition::Label(label.clone(), Patterns::of(names)));
    single.into_iter().flatten().chain(labels).chain(matches.time.clone().map(Condition::Time)).collect()
}

impl Condition {
    /// Why it does not hold; `None` where it does.
    fn mismatch(&self, incident: &IncidentView, at_ms: TimestampMs, zone: Zone) -> Option<String> {
        let unless = |holds: bool, why: String| (!holds).then_some(why);
        let alerts = || incident.alerts.iter();
        match self {
            Condition::Env(env) => unless(env.matches(&incident.env), format!("env is {}, not {env}", incident.env)),
            Condition::Severity(all) => {
                let wanted: Vec<&str> = all.iter().map(|severity| severity.as_str()).collect();
                let holds = all.contains(&incident.severity);
                unless(holds, format!("severity is {}, not {}", incident.severity, wanted.join(" or ")))
            }
            Condition::Team(team) => {
                let owner = incident.owner.as_deref().is_some_and(|owner| team.matches(owner));
                unless(owner || alerts().any(|alert| has(alert, "team", team)), format!("no alert has team {team}"))
            }
            Condition::Entity(entity) => {
                let mut all = incident.entities.iter().chain(&incident.cause);
                unless(all.any(|name| entity.matches(name)), format!("neither its cause nor an entity is {entity}"))
            }
            Condition::Rule(rule) => {
                unless(alerts().any(|alert| rule.matches(&alert.rule)), format!("no alert is of rule {rule}"))
            }
            Condition::Label(label, value) => {
                unless(alerts().any(|alert| has(alert, label, value)), format!("no alert has {label} {value}"))
            }
            Condition::Time(hours) => {
                unless(hours.contains(at_ms, zone), format!("it is not within the hours of `time` ({})", zone.0))
            }
        }
    }
}

fn has(alert: &AlertView, label: &str, wanted: &Patterns) -> bool {
    alert.labels.iter().any(|(name, value)| name == label && wanted.matches(value))
}

impl Patterns {
    fn of(names: &Names) -> Self {
        Self { patterns: names.0.iter().map(|name| (name.clone(), NamePattern::new(name))).collect() }
    }

    fn matches(&self, value: &str) -> bool {
        self.patterns.iter().any(|(_, pattern)| pattern.matches(value))
    }

    fn names(&self) -> Vec<&str> {
        self.patterns.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(" or "))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(mismatch) = &self.mismatch else {
            let now: Vec<&str> =
                self.targets.iter().filter(|(_, target)| *target == Target::Now).map(|(name, _)| name.as_str()).collect();
            let later = self.targets.iter().filter_map(|(name, target)| match target {
                Target::Now => None,
                Target::After(ms) => Some(format!("{name} after {} unless acknowledged", format_ms(*ms))),
            });
            let now = if now.is_empty() { Vec::new() } else { vec![format!("{} at once", now.join(", "))] };
            let targets: Vec<String> = now.into_iter().chain(later).collect();
            let targets = if targets.is_empty() { "nobody".into() } else { targets.join("; ") };
            let end = if self.goes_on { ", then the next route" } else { "" };
            return write!(f, "{}: matches: {targets}{end}", self.route);
        };
        write!(f, "{}: no: {mismatch}", self.route)
    }
}
