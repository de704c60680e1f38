//! What an incident's alerts show together of one entity, or of one edge. Causes are ranked by it, so that a revision in a storm costs the
//! entities that fail, not their alerts.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;

/// What alerts show of the same entity, as seen by the same peer or by nobody else.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The node that they are about.
    pub entity: Arc<str>,
    /// Who saw it, where they are about an edge.
    pub peer: Option<Arc<str>>,
    /// How bad it is.
    pub indicators: Indicators,
}

/// How bad it is by several alerts together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Indicators {
    /// The beginning of the first of them.
    pub started_at: TimestampMs,
    /// The window of the alert that began then, in milliseconds; of several the shortest.
    pub window_ms: i64,
    /// The time between two evaluations of that alert, in milliseconds.
    pub period_ms: i64,
    /// The most severe.
    pub severity: Severity,
    /// How far the furthest departs from what is usual; 0 where none has a score.
    pub score: f64,
}

impl Evidence {
    /// What one alert shows; nothing where it names no entity.
    pub fn of(alert: &Alert) -> Option<Self> {
        Some(Self { entity: Arc::clone(alert.entity.as_ref()?), peer: alert.peer.clone(), indicators: Indicators::of(alert) })
    }
}

impl Indicators {
    /// Those of one alert.
    pub fn of(alert: &Alert) -> Self {
        let &Alert { started_at, window_ms, period_ms, severity, score, .. } = alert;
        Self { started_at, window_ms, period_ms, severity, score: score.unwrap_or(0.0) }
    }

    /// Takes in what another shows.
    pub fn merge(&mut self, other: &Self) {
        (self.started_at, self.window_ms, self.period_ms) = self.began().min(other.began());
        self.severity = self.severity.max(other.severity);
        self.score = self.score.max(other.score);
    }

    /// When it began, and by which windows that was seen.
    fn began(&self) -> (TimestampMs, i64, i64) {
        (self.started_at, self.window_ms, self.period_ms)
    }
}

/// The indicators of a set of alerts that come, change and go: each change costs the logarithm of their number.
#[derive(Clone, Debug, Default)]
pub struct IndicatorCounts {
    began: BTreeMap<(TimestampMs, i64, i64), u32>,
    severities: BTreeMap<Severity, u32>,
    /// By the bits of scores that are never negative, which sort as the scores do.
    scores: BTreeMap<u64, u32>,
}

impl IndicatorCounts {
    /// Counts an alert in.
    pub fn add(&mut self, one: &Indicators) {
        *self.began.entry(one.began()).or_default() += 1;
        *self.severities.entry(one.severity).or_default() += 1;
        *self.scores.entry(score_bits(one.score)).or_default() += 1;
    }

    /// Takes an alert out that was counted in.
    pub fn remove(&mut self, one: &Indicators) {
        decrement(&mut self.began, &one.began());
        decrement(&mut self.severities, &one.severity);
        decrement(&mut self.scores, &score_bits(one.score));
    }

    /// What they show together; nothing where there are none.
    pub fn total(&self) -> Option<Indicators> {
        let ((started_at, window_ms, period_ms), _) = self.began.first_key_value()?;
        Some(Indicators {
            started_at: *started_at,
            window_ms: *window_ms,
            period_ms: *period_ms,
            severity: *self.severities.last_key_value()?.0,
            score: f64::from_bits(*self.scores.last_key_value()?.0),
        })
    }
}

fn score_bits(score: f64) -> u64 {
    score.max(0.0).to_bits()
}

fn decrement<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
