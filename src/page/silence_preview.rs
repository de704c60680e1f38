//! What a silence would hit now: of the alerts that the newest revisions of the open incidents list.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::incident::silence::matches;
use crate::model::command::SilenceTarget;
use crate::topology::Topology;

/// What a silence would hit of one incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// The incident.
    pub id: String,
    /// One line about it.
    pub title: String,
    /// Its alerts that fire and would be silenced.
    pub silenced: usize,
    /// Its alerts that fire.
    pub firing: u64,
}

impl Hit {
    /// Whether nobody would be notified of the incident any more.
    pub fn is_whole(&self) -> bool {
        self.silenced as u64 == self.firing
    }
}

/// The open incidents of which a silence would hit something.
pub fn hits<'v>(target: &SilenceTarget, open: impl Iterator<Item = &'v Value>, topology: &Topology) -> Vec<Hit> {
    // The graph is walked once for each environment.
    let mut dependents: BTreeMap<String, Dependents> = BTreeMap::new();
    let hit = |revision: &Value| {
        let env = text(revision, "env");
        if let SilenceTarget::Node { name, .. } = target
            && !dependents.contains_key(env)
        {
            dependents.insert(env.to_string(), topology.dependents(name, env, usize::MAX));
        }
        let dependents = dependents.get(env);
        let alerts = revision["alerts"].as_array().into_iter().flatten();
        let firing: Vec<&Value> = alerts.filter(|alert| alert["status"] == "firing").collect();
        let silenced = firing.iter().filter(|alert| is_hit(target, revision, alert, dependents)).count();
        let all = revision["counts"]["firing"].as_u64().unwrap_or(firing.len() as u64);
        let (id, title) = (text(revision, "id").to_string(), text(revision, "title").to_string());
        (silenced > 0).then_some(Hit { id, title, silenced, firing: all })
    };
    open.filter_map(hit).collect()
}

/// What depends on a node, with how many hops it is away.
type Dependents = BTreeMap<Arc<str>, usize>;

fn is_hit(target: &SilenceTarget, revision: &Value, alert: &Value, dependents: Option<&Dependents>) -> bool {
    match target {
        SilenceTarget::Incident(id) => text(revision, "id") == id.as_ref(),
        SilenceTarget::Matchers(matchers) => matches(matchers, |name| match name {
            "alertname" => text(alert, "rule"),
            "severity" => text(alert, "severity"),
            "env" => text(revision, "env"),
            name => text(&alert["labels"], name),
        }),
        SilenceTarget::Node { name, env } => {
            let of_env = text(revision, "env");
            let entity = text(alert, "entity");
            env.as_deref().is_none_or(|env| env == of_env)
                && (entity == name.as_ref() || dependents.is_some_and(|dependents| dependents.contains_key(entity)))
        }
    }
}

/// A field as text.
fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}
