//! `notifiers:` as it is written: one receiver, whose kind is the one key that names it.

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::model::local_time::Hours;
use crate::notify::receivers::datadog::DatadogConfig;
use crate::notify::receivers::elasticsearch::ElasticsearchConfig;
use crate::notify::receivers::email::EmailConfig;
use crate::notify::receivers::grafana::GrafanaConfig;
use crate::notify::receivers::loki::LokiConfig;
use crate::notify::receivers::nats_subject::NatsSubjectConfig;
use crate::notify::receivers::newrelic::NewRelicConfig;
use crate::notify::receivers::pagerduty::PagerDutyConfig;
use crate::notify::receivers::slack::SlackConfig;
use crate::notify::receivers::splunk_hec::SplunkHecConfig;
use crate::notify::receivers::teams::TeamsConfig;
use crate::notify::receivers::webhook::WebhookConfig;
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::duration::DurationMs;
use crate::notify::settings::names::Names;

/// One receiver.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiverConfig {
    /// PagerDuty, by its Events API.
    pub pagerduty: Option<PagerDutyConfig>,
    /// A channel of Slack.
    pub slack: Option<SlackConfig>,
    /// Mail.
    pub email: Option<EmailConfig>,
    /// Microsoft Teams, by a workflow.
    pub teams: Option<TeamsConfig>,
    /// Any HTTP endpoint.
    pub webhook: Option<WebhookConfig>,
    /// A subject on NATS.
    pub nats: Option<NatsSubjectConfig>,
    /// Elasticsearch or OpenSearch.
    pub elasticsearch: Option<ElasticsearchConfig>,
    /// Splunk.
    pub splunk_hec: Option<SplunkHecConfig>,
    /// Loki.
    pub loki: Option<LokiConfig>,
    /// Events of Datadog.
    pub datadog: Option<DatadogConfig>,
    /// Events of New Relic.
    pub newrelic: Option<NewRelicConfig>,
    /// Annotations of Grafana.
    pub grafana: Option<GrafanaConfig>,
    /// Certificates of authorities besides the system's.
    pub ca_file: Option<Spanned<std::path::PathBuf>>,
    /// How long one request may take.
    pub timeout: Option<Spanned<DurationMs>>,
    /// The most messages with sound in a time: `30/10m`. What is more comes in a digest.
    pub limit: Option<Spanned<String>>,
    /// When only the loudest come at once, and the rest in a digest at the end of these hours.
    pub quiet: Option<QuietConfig>,
}

/// Quiet hours.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct QuietConfig {
    /// Days on which they begin; all, where none is named.
    #[serde(default)]
    pub days: Vec<crate::model::local_time::Day>,
    /// From this time of day, in `time_zone`.
    pub from: crate::model::local_time::Clock,
    /// To this time of day.
    pub to: crate::model::local_time::Clock,
    /// What waits; warnings and infos where it is not set.
    #[serde(default)]
    pub severity: Option<Spanned<Names>>,
}

impl QuietConfig {
    /// The hours.
    pub fn hours(&self) -> Hours {
        Hours { days: self.days.clone(), from: Some(self.from), to: Some(self.to) }
    }
}

/// All kinds, as the settings name them, for messages.
pub const KINDS: &str =
    "pagerduty, slack, email, teams, webhook, nats, elasticsearch, splunk_hec, loki, datadog, newrelic, grafana";

impl ReceiverConfig {
    /// The kinds that are set: one, where all is well.
    pub fn kinds(&self) -> Vec<&'static str> {
        let kinds = [
            ("pagerduty", self.pagerduty.is_some()),
            ("slack", self.slack.is_some()),
            ("email", self.email.is_some()),
            ("teams", self.teams.is_some()),
            ("webhook", self.webhook.is_some()),
            ("nats", self.nats.is_some()),
            ("elasticsearch", self.elasticsearch.is_some()),
            ("splunk_hec", self.splunk_hec.is_some()),
            ("loki", self.loki.is_some()),
            ("datadog", self.datadog.is_some()),
            ("newrelic", self.newrelic.is_some()),
            ("grafana", self.grafana.is_some()),
        ];
        kinds.into_iter().filter(|(_, is_set)| *is_set).map(|(kind, _)| kind).collect()
    }

    /// What is wrong with the settings of its kind.
    pub fn complain(&self, of: serde_saphyr::Location, all: &mut Vec<PlacedComplaint>) {
        if let Some(config) = &self.pagerduty {
            config.complain(of, all);
        }
        if let Some(config) = &self.slack {
            config.complain(of, all);
        }
        if let Some(config) = &self.email {
            config.complain(of, all);
        }
        if let Some(config) = &self.teams {
            config.complain(of, all);
        }
        if let Some(config) = &self.webhook {
            config.complain(of, all);
        }
        if let Some(config) = &self.nats {
            config.complain(of, all);
        }
        if let Some(config) = &self.elasticsearch {
            config.complain(of, all);
        }
        if let Some(config) = &self.splunk_hec {
            config.complain(of, all);
        }
        if let Some(config) = &self.loki {
            config.complain(of, all);
        }
        if let Some(config) = &self.datadog {
            config.complain(of, all);
        }
        if let Some(config) = &self.newrelic {
            config.complain(of, all);
        }
        if let Some(config) = &self.grafana {
            config.complain(of, all);
        }
    }
}
