//! `routes:` as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::model::local_time::Hours;
use crate::notify::settings::duration::DurationMs;
use crate::notify::settings::names::Names;

/// One line of `routes`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// Which incidents; all, where it is not set.
    #[serde(rename = "match")]
    pub matches: MatchConfig,
    /// The receivers.
    pub to: Vec<Spanned<String>>,
    /// Go on with the next line. Without it the first line that matches decides.
    #[serde(rename = "continue")]
    pub goes_on: bool,
    /// Whom else to notify while nobody acknowledges.
    pub escalate: Vec<Spanned<EscalateConfig>>,
}

/// Which incidents: all that is set must match. A text may have `*` in it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct MatchConfig {
    /// The environment.
    pub env: Option<Names>,
    /// The severity.
    pub severity: Option<Spanned<Names>>,
    /// The label `area` of an alert.
    pub area: Option<Names>,
    /// The label `team` of an alert, or the incident's owner.
    pub team: Option<Names>,
    /// The likeliest cause, or an entity that alerts.
    pub entity: Option<Names>,
    /// Labels of one alert.
    pub labels: BTreeMap<String, Names>,
    /// The rule of an alert.
    pub rule: Option<Names>,
    /// Hours, in `time_zone`.
    pub time: Option<Hours>,
}

/// A step of an escalation.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct EscalateConfig {
    /// So long after the first notification.
    pub after: DurationMs,
    /// The receivers.
    pub to: Vec<Spanned<String>>,
}
