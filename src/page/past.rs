//! What became of incidents, from their newest revisions: which decisions were made, and which incidents were alike. It is an index over
//! the stream of incidents, bounded by its number of revisions; the bodies stay in the stream.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use serde::Serialize;

use crate::model::severity::Severity;
use crate::model::time::{TimestampMs, format_rfc3339};
use crate::notify::incident_view::{IncidentView, ViewStatus};

/// One revision: what was decided, and where its body is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Its number.
    pub revision: u32,
    /// Its place in the stream.
    pub sequence: u64,
    /// When it was made, RFC 3339.
    pub at: String,
    /// What it is about.
    pub change: String,
    /// The severity.
    pub severity: String,
    /// The likeliest cause.
    pub cause: Option<String>,
    /// Whether people were notified.
    pub send: bool,
    /// Why, for programs.
    pub code: String,
    /// Why, for people.
    pub reason: String,
}

impl Step {
    /// A revision with this place in the stream; 0 where that is not known.
    pub fn of(sequence: u64, view: &IncidentView) -> Self {
        Self {
            revision: view.revision,
            sequence,
            at: format_rfc3339(view.updated_at),
            change: view.change.clone(),
            severity: view.severity.to_string(),
            cause: view.cause.clone(),
            send: view.send,
            code: view.code.clone(),
            reason: view.reason.clone(),
        }
    }
}

/// An incident as its newest revision left it.
#[derive(Clone, Debug, PartialEq)]
pub struct PastIncident {
    /// The environment.
    pub env: String,
    /// One line.
    pub title: String,
    /// How severe it got.
    pub severity: Severity,
    /// Where it is in its life.
    pub status: ViewStatus,
    /// When it began.
    pub started_at: TimestampMs,
    /// When it ended.
    pub resolved_at: Option<TimestampMs>,
    /// The likeliest cause.
    pub cause: Option<String>,
    /// Who acknowledged it.
    pub acknowledged_by: Option<String>,
    /// The last note on it.
    pub note: Option<String>,
    /// Its revisions, in order.
    pub steps: Vec<Step>,
    /// What its alerts are about: rule and entity.
    topics: BTreeSet<u64>,
    /// The same of the cause's alerts.
    cause_topics: BTreeSet<u64>,
}

/// An incident of before that was like another one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Similar {
    /// Its id.
    pub id: String,
    /// One line.
    pub title: String,
    /// How severe it got.
    pub severity: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When it ended.
    pub resolved_at: Option<String>,
    /// Who acknowledged it.
    pub acknowledged_by: Option<String>,
    /// The last note on it.
    pub note: Option<String>,
    /// Whether it had the same cause, found by the same rule.
    pub same_cause: bool,
    /// How many alerts of the same rule and entity both have.
    pub shared: usize,
}

/// The index.
#[derive(Debug)]
pub struct Past {
    incidents: BTreeMap<String, PastIncident>,
    /// Whose revisions came in which order: the oldest go first.
    order: VecDeque<String>,
    revisions_max: usize,
}

impl Past {
    /// Of at most so many revisions.
    pub fn new(revisions_max: usize) -> Self {
        Self { incidents: BTreeMap::new(), order: VecDeque::new(), revisions_max }
    }

    /// Takes in a revision, which has this place in the stream. One that is known already changes nothing.
    pub fn take(&mut self, sequence: u64, view: &IncidentView) {
        let step = Step::of(sequence, view);
        let known = self.incidents.entry(view.id.clone()).or_insert_with(|| PastIncident::of(view));
        if known.steps.last().is_some_and(|last| last.revision >= step.revision) {
            return;
        }
        let steps = std::mem::take(&mut known.steps);
        *known = PastIncident { steps, ..PastIncident::of(view) };
        known.steps.push(step);
        self.order.push_back(view.id.clone());
        while self.order.len() > self.revisions_max {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(id) = self.order.pop_front() else { return };
        let Some(incident) = self.incidents.get_mut(&id) else { return };
        incident.steps.remove(0);
        if incident.steps.is_empty() {
            self.incidents.remove(&id);
        }
    }

    /// An incident.
    pub fn get(&self, id: &str) -> Option<&PastIncident> {
        self.incidents.get(id)
    }

    /// All incidents by id.
    pub fn all(&self) -> impl Iterator<Item = (&str, &PastIncident)> {
        self.incidents.iter().map(|(id, incident)| (id.as_str(), incident))
    }

    /// How often people were notified of an incident up to this revision, which the index may not have yet.
    pub fn times_notified(&self, view: &IncidentView) -> usize {
        let steps = self.get(&view.id).map_or(&[][..], |incident| &incident.steps);
        let before = steps.iter().filter(|step| step.send && step.revision < view.revision).count();
        before + usize::from(view.send)
    }

    /// Incidents that are like this one, those with the same cause first, then those that share most, then the newest.
    pub fn similar(&self, view: &IncidentView, most: usize) -> Vec<Similar> {
        let wanted = PastIncident::of(view);
        let others = self.incidents.iter().filter(|(id, other)| {
            **id != view.id && other.env == view.env && other.started_at <= view.started_at && other.status != ViewStatus::Merged
        });
        let mut found: Vec<(bool, usize, TimestampMs, &String, &PastIncident)> = others
            .filter_map(|(id, other)| {
                let shared = other.topics.intersection(&wanted.topics).count();
                let same_cause = !other.cause_topics.is_disjoint(&wanted.cause_topics);
                (shared > 0).then_some((same_cause, shared, other.started_at, id, other))
            })
            .collect();
        found.sort_by(|a, b| (b.0, b.1, b.2, b.3).cmp(&(a.0, a.1, a.2, a.3)));
        let similar = found.into_iter().take(most).map(|(same_cause, shared, _, id, other)| Similar {
            id: id.clone(),
            title: other.title.clone(),
            severity: other.severity.to_string(),
            started_at: format_rfc3339(other.started_at),
            resolved_at: other.resolved_at.map(format_rfc3339),
            acknowledged_by: other.acknowledged_by.clone(),
            note: other.note.clone(),
            same_cause,
            shared,
        });
        similar.collect()
    }
}

impl PastIncident {
    /// Where it is in its life, as messages name it.
    pub fn status_name(&self) -> &'static str {
        match self.status {
            ViewStatus::Open => "open",
            ViewStatus::Resolved => "resolved",
            ViewStatus::Merged => "merged",
        }
    }

    fn of(view: &IncidentView) -> Self {
        let topic = |rule: &str, entity: &Option<String>| {
            let mut hasher = DefaultHasher::new();
            (rule, entity).hash(&mut hasher);
            hasher.finish()
        };
        let topics = |of_cause: bool| {
            let alerts = view.alerts.iter().filter(|alert| !of_cause || alert.entity == view.cause);
            alerts.map(|alert| topic(&alert.rule, &alert.entity)).collect()
        };
        let note = view.body["notes"].as_array().and_then(|notes| notes.last());
        Self {
            env: view.env.clone(),
            title: view.title.clone(),
            severity: view.severity,
            status: view.status,
            started_at: view.started_at,
            resolved_at: view.resolved_at,
            cause: view.cause.clone(),
            acknowledged_by: view.acknowledged_by.clone(),
            note: note.and_then(|note| note["text"].as_str()).map(String::from),
            steps: Vec::new(),
            topics: topics(false),
            cause_topics: if view.cause.is_some() { topics(true) } else { BTreeSet::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(id: &str, revision: u32, minute: u32, topics: &[(&str, &str)], cause: &str) -> IncidentView {
        let alerts: Vec<_> =
            topics.iter().map(|(rule, entity)| json!({"rule": rule, "entity": entity, "status": "firing"})).collect();
        let at = format!("2026-03-14T02:{minute:02}:00Z");
        IncidentView::of(json!({
            "id": id, "revision": revision, "change": "updated", "status": "open", "severity": "warning", "env": "production",
            "title": id, "started_at": at, "updated_at": at, "root_cause": {"entity": cause}, "alerts": alerts,
            "notify": {"send": revision == 2, "code": "nothing_new", "reason": "nothing new"},
        }))
        .unwrap()
    }

    #[test]
    fn incidents_with_the_same_cause_come_first() {
        let mut past = Past::new(100);
        let same_cause = view("inc-1", 1, 1, &[("slow", "db"), ("errors", "chat")], "db");
        let more_shared = view("inc-2", 1, 2, &[("errors", "chat"), ("errors", "auth")], "auth");
        let other = view("inc-3", 1, 3, &[("disk", "web")], "web");
        for (at, view) in [&same_cause, &more_shared, &other].into_iter().enumerate() {
            past.take(at as u64, view);
        }
        let now = view("inc-4", 1, 4, &[("slow", "db"), ("errors", "chat"), ("errors", "auth")], "db");
        let found = past.similar(&now, 5);
        let ids: Vec<(&str, bool, usize)> = found.iter().map(|one| (one.id.as_str(), one.same_cause, one.shared)).collect();
        assert_eq!(ids, [("inc-1", true, 2), ("inc-2", false, 2)]);
        assert!(past.similar(&view("inc-0", 1, 0, &[("slow", "db")], "db"), 5).is_empty(), "what came later is no past");
    }

    #[test]
    fn the_index_is_bounded_and_takes_each_revision_once() {
        let mut past = Past::new(3);
        for revision in 1..=2 {
            past.take(u64::from(revision), &view("inc-1", revision, 1, &[], "db"));
            past.take(u64::from(revision) + 10, &view("inc-1", revision, 1, &[], "db"));
        }
        assert_eq!((past.get("inc-1").unwrap().steps.len(), past.times_notified(&view("inc-1", 3, 1, &[], "db"))), (2, 1));
        past.take(3, &view("inc-2", 1, 1, &[], "db"));
        past.take(4, &view("inc-2", 2, 1, &[], "db"));
        assert_eq!(past.get("inc-1").unwrap().steps.len(), 1);
        past.take(5, &view("inc-2", 3, 1, &[], "db"));
        assert!(past.get("inc-1").is_none());
    }
}
