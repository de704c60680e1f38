//! What an incident's alerts say together of one entity, or of one edge. Causes are ranked by it, so that a revision in a storm costs
//! the entities that fail, not their alerts.

use std::sync::Arc;

use crate::alert::Alert;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;

/// What alerts say of the same entity, as seen by the same peer or by nobody else.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The node that they are about.
    pub entity: Arc<str>,
    /// Who saw it, where they are about an edge.
    pub peer: Option<Arc<str>>,
    /// How bad it is.
    pub signs: Indicators,
}

/// How bad it is by several alerts together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Indicators {
    /// The beginning of the first of them.
    pub started_at: TimestampMs,
    /// The window of the alert that began then, in milliseconds; of several the shortest.
    pub window_ms: i64,
    /// The time between two looks of that alert, in milliseconds.
    pub period_ms: i64,
    /// The loudest.
    pub severity: Severity,
    /// How far the furthest departs from what is usual; 0 where none says.
    pub score: f64,
}

impl Evidence {
    /// What one alert says; nothing where it names no entity.
    pub fn of(alert: &Alert) -> Option<Self> {
        let &Alert { started_at, window_ms, period_ms, severity, score, .. } = alert;
        let signs = Indicators { started_at, window_ms, period_ms, severity, score: score.unwrap_or(0.0) };
        Some(Self { entity: Arc::clone(alert.entity.as_ref()?), peer: alert.peer.clone(), signs })
    }

    /// Whether both are about the same.
    pub fn has_same_subject(&self, other: &Self) -> bool {
        self.entity == other.entity && self.peer == other.peer
    }
}

impl Indicators {
    /// Shows what the other shows as well.
    pub fn add(&mut self, other: &Self) {
        (self.started_at, self.window_ms, self.period_ms) = self.began().min(other.began());
        self.severity = self.severity.max(other.severity);
        self.score = self.score.max(other.score);
    }

    /// Whether adding the other to it would change nothing.
    pub fn covers(&self, other: &Self) -> bool {
        self.began() <= other.began() && self.severity >= other.severity && self.score >= other.score
    }

    /// When it began, and how that was seen.
    fn began(&self) -> (TimestampMs, i64, i64) {
        (self.started_at, self.window_ms, self.period_ms)
    }
}
