//! `squelch.yaml`: what an operator may set. Every key has a default; an unknown key is an error with its place.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::engine::EngineParams;
use crate::incident::correlation_params::CorrelationParams;
use crate::incident::notify::NotifyParams;
use crate::io::nats::client::settings::{
    CommandsConfig, InputConfig, NatsConfig, OutputConfig, PartitionsConfig, RejectedConfig,
};
use crate::model::local_time::Zone;
use crate::notify::settings::check::{Notifiers, Routes};
use crate::process::config::alerts::AlertsConfig;
use crate::process::config::intake::IntakeConfig;
use crate::process::config::millis::Millis;
use crate::process::config::topology::TopologyConfig;
use crate::process::reload::file_watcher::Every;
use crate::process::telemetry::stopwatch::monotonic_ns;
use crate::window::limits::WindowLimits;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The NATS server and how to sign in.
    pub nats: NatsConfig,
    /// Where events come from.
    pub input: InputConfig,
    /// Where incidents go.
    pub output: OutputConfig,
    /// Where undecodable input goes.
    pub rejected: RejectedConfig,
    /// Where commands are answered.
    pub commands: CommandsConfig,
    /// How work is shared by several processes.
    pub partitions: PartitionsConfig,
    /// Folders or files of rules.
    pub rules: OneOrMany,
    /// The folder of lookups that rules join.
    pub lookups: Option<PathBuf>,
    /// How often rule files are looked at for changes.
    pub reload: Every,
    /// Where the dependency graph comes from.
    pub topology: TopologyConfig,
    /// A mapping of the user's own: which series are signals.
    pub signals: Option<PathBuf>,
    /// Event time.
    pub time: TimeConfig,
    /// Alerts of other systems.
    pub alerts: AlertsConfig,
    /// How alerts become incidents.
    pub correlation: CorrelationParams,
    /// When people are notified.
    pub notify: NotifyParams,
    /// What one rule may take.
    pub limits: LimitsConfig,
    /// What is kept over a restart.
    pub checkpoint: CheckpointConfig,
    /// Who does the work, where several could.
    pub standby: StandbyConfig,
    /// The operator's HTTP endpoint.
    pub http: HttpConfig,
    /// What is taken in over HTTP and syslog.
    pub intake: IntakeConfig,
    /// Who is notified, by name.
    pub notifiers: Notifiers,
    /// Which incidents go to whom.
    pub routes: Routes,
    /// The address of an incident's page, with `{id}` in it: notifications link to it.
    pub incident_url: Option<String>,
    /// The time zone of the hours in the settings, and of rules that name none.
    pub time_zone: Zone,
    /// Where this was read from; empty for no file.
    #[serde(skip)]
    pub file: PathBuf,
}

/// Event time.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TimeConfig {
    /// How much later than the latest event an event may come.
    pub lateness: Millis,
    /// After this much silence, with nothing left to read, time goes on without events.
    pub idle: Millis,
    /// How far a source that lags behind the others may hold time back.
    pub source_wait: Millis,
    /// How far ahead of the broker's clock an event may be.
    pub future: Millis,
    /// After how long another system's alert counts as resolved if nothing is heard of it.
    pub external_expiry: Millis,
}

/// What is kept over a restart.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// The folder; `off` for none.
    #[serde(deserialize_with = "path_or_off")]
    pub dir: Option<PathBuf>,
    /// A bucket in JetStream, in place of the folder: then another process of the same name can go on from there.
    #[serde(deserialize_with = "name_or_off")]
    pub store: Option<String>,
    /// How often.
    pub every: Millis,
}

/// Who does the work, where several processes share a bucket of checkpoints and a name.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct StandbyConfig {
    /// After this much silence of the one that works another one takes over.
    pub lease: Millis,
}

/// What one rule may take.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Groups of one aggregate.
    pub groups: usize,
    /// Rows kept as they came.
    pub retained_rows: usize,
    /// Alerts at once.
    pub alerts: usize,
    /// Share of one core over a minute, 0 to 1; `off` for no limit.
    #[serde(deserialize_with = "share")]
    pub cpu_share: Option<f64>,
}

/// The operator's HTTP endpoint.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port; loopback unless set otherwise. `off` for none.
    #[serde(deserialize_with = "listen")]
    pub listen: Option<SocketAddr>,
    /// Names of the site besides numeric addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// One path or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub enum OneOrMany {
    /// One.
    One(PathBuf),
    /// A list.
    Many(Vec<PathBuf>),
}

impl OneOrMany {
    /// As a list.
    pub fn paths(&self) -> Vec<PathBuf> {
        match self {
            OneOrMany::One(path) => vec![path.clone()],
            OneOrMany::Many(paths) => paths.clone(),
        }
    }
}

impl Default for OneOrMany {
    fn default() -> Self {
        OneOrMany::One("rules".into())
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Paths;
        impl<'de> Visitor<'de> for Paths {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a path or a list of paths")
            }

            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(path.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
                let mut paths = Vec::new();
                while let Some(path) = list.next_element()? {
                    paths.push(path);
                }
                Ok(OneOrMany::Many(paths))
            }
        }
        deserializer.deserialize_any(Paths)
    }
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| serde::de::Error::custom(format!("{text:?} is no address: write for example 127.0.0.1:9464, or off")))
}

fn path_or_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((text != "off").then(|| text.into()))
}

fn name_or_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((text != "off").then_some(text))
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" {
        return Ok(None);
    }
    let wrong = || serde::de::Error::custom(format!("{text:?} is no share of a core: write for example 0.25, or off"));
    text.parse().map(Some).map_err(|_| wrong())
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let engine = EngineParams::default();
        Self {
            groups: engine.limits.groups,
            retained_rows: engine.limits.retained_rows,
            alerts: engine.alerts_max,
            cpu_share: None,
        }
    }
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { dir: Some("state".into()), store: None, every: Millis(30_000) }
    }
}

impl Default for StandbyConfig {
    fn default() -> Self {
        Self { lease: Millis(10_000) }
    }
}

impl Default for TimeConfig {
    fn default() -> Self {
        let engine = EngineParams::default();
        Self {
            lateness: Millis(engine.lateness_ms),
            idle: Millis(engine.idle_ms),
            source_wait: Millis(engine.source_wait_ms),
            future: Millis(300_000),
            external_expiry: Millis(engine.external_expiry_ms),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from(([127, 0, 0, 1], 9464))), hosts: Vec::new() }
    }
}

impl Config {
    /// What the engine is set to.
    pub fn engine(&self) -> EngineParams {
        EngineParams {
            lateness_ms: self.time.lateness.0,
            idle_ms: self.time.idle.0,
            source_wait_ms: self.time.source_wait.0,
            external_expiry_ms: self.time.external_expiry.0,
            external_entity: self.alerts.entity_labels(),
            correlation: self.correlation.clone(),
            notify: self.notify.clone(),
            learn: self.topology.learn.clone(),
            signals: None,
            limits: WindowLimits { groups: self.limits.groups, retained_rows: self.limits.retained_rows },
            alerts_max: self.limits.alerts,
            time_zone: self.time_zone,
            clock: monotonic_ns,
        }
    }
}
