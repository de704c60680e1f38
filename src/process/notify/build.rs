//! Receivers from the settings: reads their secrets, compiles their templates, and reports everything that is wrong at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_saphyr::{Location, Spanned};

use crate::io::files::bounded_text;
use crate::io::files::secret_files::SecretFiles;
use crate::io::notifier::http_client::HttpClient;
use crate::io::notifier::smtp_client::SmtpClient;
use crate::model::diagnostic::report::Report;
use crate::model::limits::CONFIG_FILE_BYTES_MAX;
use crate::model::severity::Severity;
use crate::notify::decide::Policy;
use crate::notify::rate_limit::RateSetting;
use crate::notify::receiver::Receiver;
use crate::notify::receivers::datadog::Datadog;
use crate::notify::receivers::elasticsearch::Elasticsearch;
use crate::notify::receivers::email::{Email, EmailConfig, MailServer};
use crate::notify::receivers::grafana::Grafana;
use crate::notify::receivers::loki::Loki;
use crate::notify::receivers::nats_subject::NatsSubject;
use crate::notify::receivers::newrelic::NewRelic;
use crate::notify::receivers::pagerduty::PagerDuty;
use crate::notify::receivers::slack::{Slack, SlackConfig, SlackWay};
use crate::notify::receivers::splunk_hec::SplunkHec;
use crate::notify::receivers::teams::Teams;
use crate::notify::receivers::webhook::{KEY_HINT, Webhook, signing_keys};
use crate::notify::replies::ReadReplies;
use crate::notify::replies::pagerduty::PagerDutyReplies;
use crate::notify::replies::slack::SlackReplies;
use crate::notify::route::Router;
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::receiver_config::{KINDS, ReceiverConfig};
use crate::notify::settings::secret::{self, Hidden, ReadSecret, SecretKeys};
use crate::notify::settings::url;
use crate::notify::text::{Part, Texts};
use crate::process::config::{Config, validate};

/// A receiver, ready to be used.
pub struct Built {
    /// Its name.
    pub name: String,
    /// What it is.
    pub receiver: Box<dyn Receiver>,
    /// What it gets, and when.
    pub policy: Policy,
    /// How many messages with sound it gets.
    pub rate: RateSetting,
    /// How long one request may take.
    pub timeout: Duration,
    /// Sends its requests.
    pub http: HttpClient,
    /// Sends its mails.
    pub smtp: Option<SmtpClient>,
}

/// How long one request may take where nothing is set.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Messages with sound where nothing is set: more in an hour than anybody reads.
const RATE: &str = "30/10m";
/// PagerDuty takes some 120 events a minute, and a digest there is an incident that nobody resolves.
const RATE_OF_PAGERDUTY: &str = "100/1m";
/// Where the other side is a program.
const RATE_OF_PROGRAMS: &str = "1000/1m";

/// All receivers of the settings.
pub fn receivers(config: &Config) -> Result<Vec<Built>> {
    receivers_with(config, &SecretFiles { base: base_of(config) })
}

/// Likewise, with secrets from elsewhere.
pub fn receivers_with(config: &Config, secrets: &dyn ReadSecret) -> Result<Vec<Built>> {
    let base = base_of(config);
    let router = Router::new(&config.notifiers, &config.routes, config.time_zone);
    let (mut all, mut complaints) = (Vec::new(), Vec::new());
    for (name, settings) in &config.notifiers {
        match receiver(name, settings, secrets, config.incident_url.as_deref(), &base) {
            Ok(parts) => all.push(built(name, &settings.value, parts, &router, config)),
            Err(complaint) => complaints.push(complaint),
        }
    }
    if complaints.is_empty() { Ok(all) } else { Err(reported(config, complaints)) }
}

/// Who reads what people answer at a receiver, by the receiver's name.
pub type ReplyReaders = BTreeMap<String, Box<dyn ReadReplies>>;

/// The readers of what people answer at receivers: of those whose secret for it is set.
pub fn reply_readers(config: &Config) -> Result<ReplyReaders> {
    let secrets = SecretFiles { base: base_of(config) };
    let (mut all, mut complaints) = (ReplyReaders::new(), Vec::new());
    for (name, settings) in &config.notifiers {
        let ReceiverConfig { pagerduty, slack, .. } = &settings.value;
        let secret = match (pagerduty, slack) {
            (Some(pagerduty), _) => secrets.read(pagerduty.webhook_secret()),
            (None, Some(slack)) => secrets.read(slack.signing_secret()),
            (None, None) => Ok(None),
        };
        match secret {
            Ok(Some(secret)) if pagerduty.is_some() => drop(all.insert(name.clone(), Box::new(PagerDutyReplies::new(&secret)))),
            Ok(Some(secret)) => drop(all.insert(name.clone(), Box::new(SlackReplies::new(&secret)))),
            Ok(None) => {}
            Err(complaint) => complaints.push(complaint),
        }
    }
    if complaints.is_empty() { Ok(all) } else { Err(reported(config, complaints)) }
}

fn base_of(config: &Config) -> PathBuf {
    config.file.parent().unwrap_or(Path::new("")).to_path_buf()
}

/// What is wrong, at its places in the settings.
fn reported(config: &Config, complaints: Vec<PlacedComplaint>) -> anyhow::Error {
    let text = bounded_text::read(&config.file, CONFIG_FILE_BYTES_MAX).unwrap_or_default();
    let errors = complaints.into_iter().map(|complaint| complaint.in_text(&text)).collect();
    Report::of_file(&config.file, validate::without_secrets(&text), errors).into()
}

fn built(name: &str, settings: &ReceiverConfig, parts: Parts, router: &Router, config: &Config) -> Built {
    let Parts { receiver, http, smtp } = parts;
    let quiet = settings.quiet.as_ref().map(|quiet| {
        let named = quiet.severity.as_ref().map(|names| names.value.0.iter().filter_map(|name| name.parse().ok()).collect());
        (quiet.hours(), named.unwrap_or_else(|| vec![Severity::Info, Severity::Warning]))
    });
    let wants = receiver.wants();
    let usual = match (receiver.kind(), receiver.for_people()) {
        ("pagerduty", _) => RATE_OF_PAGERDUTY,
        (_, true) => RATE,
        (_, false) => RATE_OF_PROGRAMS,
    };
    let rate = settings.limit.as_ref().map_or(usual, |limit| limit.value.as_str()).parse();
    Built {
        name: name.into(),
        policy: Policy { receiver: name.into(), wants, router: router.clone(), quiet, zone: config.time_zone },
        receiver,
        rate: rate.unwrap_or(RateSetting { messages: std::num::NonZeroU32::MIN, per_ms: 60_000 }),
        timeout: timeout(settings),
        http,
        smtp,
    }
}

fn timeout(settings: &ReceiverConfig) -> Duration {
    settings.timeout.as_ref().map_or(TIMEOUT, |timeout| Duration::from_millis(timeout.value.0 as u64))
}

/// What a receiver is, and how its requests leave.
struct Parts {
    receiver: Box<dyn Receiver>,
    http: HttpClient,
    smtp: Option<SmtpClient>,
}

/// What all kinds are made from.
struct Maker<'a> {
    name: &'a str,
    place: Location,
    secrets: &'a dyn ReadSecret,
    link: Option<&'a str>,
}

fn receiver(
    name: &str,
    settings: &Spanned<ReceiverConfig>,
    secrets: &dyn ReadSecret,
    link: Option<&str>,
    base: &Path,
) -> Result<Parts, PlacedComplaint> {
    let maker = Maker { name, place: settings.referenced, secrets, link };
    let receiver = maker.make(&settings.value)?;
    let ca_file: Option<PathBuf> = settings.value.ca_file.as_ref().map(|file| base.join(&file.value));
    let of_ca_file = |error: String| {
        let at = settings.value.ca_file.as_ref().map_or(maker.place, |file| file.referenced);
        PlacedComplaint::at(at, error, "name a file with certificates in PEM form")
    };
    let timeout = timeout(&settings.value);
    let http = HttpClient::new(timeout, ca_file.as_deref()).map_err(|error| of_ca_file(error.to_string()))?;
    let smtp = match &settings.value.email {
        Some(config) => {
            let server = maker.mail_server(config)?;
            Some(SmtpClient::new(&server, timeout, ca_file.as_deref()).map_err(of_ca_file)?)
        }
        None => None,
    };
    Ok(Parts { receiver, http, smtp })
}

impl Maker<'_> {
    fn make(&self, settings: &ReceiverConfig) -> Result<Box<dyn Receiver>, PlacedComplaint> {
        let prose = |title: &Option<Spanned<String>>, text: &Option<Spanned<String>>| {
            self.texts(&[(Part::Title, title.as_ref()), (Part::Text, text.as_ref())])
        };
        if let Some(config) = &settings.pagerduty {
            let key = self.required(config.secret())?;
            return Ok(Box::new(PagerDuty::new(config, key, prose(&config.title, &config.text)?)));
        }
        if let Some(config) = &settings.slack {
            return Ok(Box::new(Slack::new(config, self.way_to_slack(config)?, prose(&config.title, &config.text)?)));
        }
        if let Some(config) = &settings.email {
            return Ok(Box::new(Email::new(config, prose(&config.title, &config.text)?)));
        }
        if let Some(config) = &settings.teams {
            return Ok(Box::new(Teams::new(self.secret_url(config.url())?, prose(&None, &None)?)));
        }
        if let Some(config) = &settings.webhook {
            let given = self.secrets.read(config.secret())?;
            let keys = given.as_ref().map(signing_keys).transpose();
            let keys = keys.map_err(|error| PlacedComplaint::at(self.place, error, KEY_HINT))?.unwrap_or_default();
            let authorization = self.secrets.read(config.authorization())?;
            let texts = self.texts(&[(Part::Body, config.template.as_ref())])?;
            return Ok(Box::new(Webhook::new(self.name, config, keys, authorization, texts)));
        }
        if let Some(config) = &settings.nats {
            return Ok(Box::new(NatsSubject::new(config)));
        }
        if let Some(config) = &settings.elasticsearch {
            return Ok(Box::new(Elasticsearch::new(config, self.secrets.read(config.authorization())?)));
        }
        if let Some(config) = &settings.splunk_hec {
            return Ok(Box::new(SplunkHec::new(config, self.required(config.token())?)));
        }
        if let Some(config) = &settings.loki {
            return Ok(Box::new(Loki::new(config, self.secrets.read(config.authorization())?)));
        }
        if let Some(config) = &settings.datadog {
            return Ok(Box::new(Datadog::new(config, self.required(config.api_key())?, prose(&None, &None)?)));
        }
        if let Some(config) = &settings.newrelic {
            return Ok(Box::new(NewRelic::new(config, self.required(config.api_key())?)));
        }
        if let Some(config) = &settings.grafana {
            return Ok(Box::new(Grafana::new(config, self.required(config.token())?, prose(&None, &None)?)));
        }
        Err(PlacedComplaint::at(self.place, format!("receiver `{}` has no kind", self.name), format!("name one of {KINDS}")))
    }

    fn required(&self, keys: SecretKeys<'_>) -> Result<Hidden, PlacedComplaint> {
        secret::required(self.secrets, keys, self.place)
    }

    /// An address that is a secret itself: it is not shown where it is wrong.
    fn secret_url(&self, keys: SecretKeys<'_>) -> Result<Hidden, PlacedComplaint> {
        let key = keys.key;
        let address = self.required(keys)?;
        let spanned = Spanned::new(address.0.clone(), self.place, self.place);
        url::complaint(key, &spanned).map_or(Ok(address), Err)
    }

    fn way_to_slack(&self, config: &SlackConfig) -> Result<SlackWay, PlacedComplaint> {
        match (self.secrets.read(config.token())?, &config.channel) {
            (Some(token), Some(channel)) => Ok(SlackWay::Bot { token, channel: channel.value.clone() }),
            _ => self.secret_url(config.webhook()).map(SlackWay::Webhook),
        }
    }

    fn mail_server(&self, config: &EmailConfig) -> Result<MailServer, PlacedComplaint> {
        let server = config.server().map_err(|error| PlacedComplaint::at(self.place, error, "see docs/notifications.md"))?;
        let sign_in = match &config.user {
            Some(user) => Some((user.clone(), self.required(config.password())?)),
            None => None,
        };
        Ok(MailServer { sign_in, ..server })
    }

    fn texts(&self, templates: &[(Part, Option<&Spanned<String>>)]) -> Result<Texts, PlacedComplaint> {
        let given: Vec<(Part, &str)> =
            templates.iter().filter_map(|(part, template)| Some((*part, template.as_ref()?.value.as_str()))).collect();
        Texts::new(&given, self.link).map_err(|(part, error)| {
            let template = templates.iter().find(|(of, _)| *of == part).and_then(|(_, template)| *template);
            let at = template.map_or(self.place, |template| template.referenced);
            PlacedComplaint::at(
                at,
                format!("the template is wrong: {error}"),
                "see docs/notifications.md for what templates know",
            )
        })
    }
}
