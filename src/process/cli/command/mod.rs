//! `squelch ack`, `silence` and the other commands of people: what they take, and the JSON that comes of it. Sending it and waiting for
//! the answer is in [`send`], what a silence would hit now in [`preview`].

mod preview;
pub(crate) mod send;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::model::command::CommandKind;
use crate::model::duration;

/// What people ask of a running squelch.
#[derive(Subcommand, Debug)]
pub(crate) enum PeopleCommand {
    /// Take care of an incident: no repeats and no escalation until it gets worse
    ///
    /// Exit codes of this and the other commands to a running squelch: 0 done, 1 refused, 2 not sent or not answered in time.
    #[command(after_help = "Example:\n  squelch ack inc-0123456789abcdef --comment 'restarting the pool'")]
    Ack {
        /// The incident
        incident: String,
        /// It runs out after this long: 2h
        #[arg(long = "for", value_name = "TIME", conflicts_with = "until")]
        lasts: Option<String>,
        /// It runs out then (RFC 3339)
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// What every command takes
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Take an acknowledgement back
    Unack {
        /// The incident
        incident: String,
        /// What every command takes
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Notify nobody of some alerts for a while
    ///
    /// Alerts are named by matchers as in Alertmanager, by their incident, or by a node of the topology with all that depends on it.
    #[command(
        after_help = "Examples:\n  squelch silence service=chat 'alertname=~disk.*' --for 2h --comment 'known, fix is on its way'\n  squelch silence --incident inc-0123456789abcdef\n  squelch silence --node chat-db --for 1h --dry-run"
    )]
    Silence(SilenceArgs),
    /// The same as silence, for planned work, also at times that come again
    #[command(
        after_help = "Example:\n  squelch maintain --node chat-db --cron '0 2 * * SUN' --duration 2h --time-zone Asia/Seoul --comment 'weekly vacuum'"
    )]
    Maintain(SilenceArgs),
    /// End a silence or maintenance now
    Expire {
        /// Its id
        silence: String,
        /// What every command takes
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Note something on an incident
    Note {
        /// The incident
        incident: String,
        /// The note
        text: String,
        /// What every command takes
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Put somebody in charge of an incident
    Owner {
        /// The incident
        incident: String,
        /// Who; nobody where it is left out
        owner: Option<String>,
        /// What every command takes
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Make one incident of two
    Merge {
        /// One of them
        incident: String,
        /// The other
        with: String,
        /// What every command takes
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Make an incident of its own of some alerts
    Split {
        /// The incident
        incident: String,
        /// The fingerprints of the alerts that leave
        #[arg(required = true, value_name = "FINGERPRINT")]
        alerts: Vec<String>,
        /// What every command takes
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Move an alert to another incident
    Move {
        /// The alert's fingerprint
        alert: String,
        /// The incident that it goes to
        into: String,
        /// What every command takes
        #[command(flatten)]
        common: CommonArgs,
    },
    /// End an incident whose alerts their systems never end
    Resolve {
        /// The incident
        incident: String,
        /// What every command takes
        #[command(flatten)]
        common: CommonArgs,
    },
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct CommonArgs {
    /// Why, for those who read it later
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) comment: String,
    /// Who sends it; the user of this shell where it is left out
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// The configuration that names the server and the streams; every key has a default
    #[arg(long, value_name = "FILE", default_value = "squelch.yaml")]
    pub(crate) config: PathBuf,
    /// This server instead of the configured ones
    #[arg(long, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// How long to wait for the answer
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub(crate) wait: Duration,
}

/// What a silence takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct SilenceArgs {
    /// Labels, all of which must match: name=value, name!=value, name=~regex, name!~regex
    #[arg(value_name = "MATCHER", required_unless_present_any = ["incident", "node"], conflicts_with_all = ["incident", "node"])]
    pub(crate) matchers: Vec<String>,
    /// All alerts of this incident; it ends with the incident
    #[arg(long, value_name = "INCIDENT", conflicts_with = "node")]
    pub(crate) incident: Option<String>,
    /// All alerts about this node of the topology and about what depends on it
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// Of that node only in this environment
    #[arg(long, value_name = "ENV", requires = "node")]
    pub(crate) env: Option<String>,
    /// For this long: 2h
    #[arg(long = "for", value_name = "TIME", conflicts_with = "to")]
    pub(crate) lasts: Option<String>,
    /// From then on (RFC 3339); now where it is left out
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Until then (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Again and again, beginning at these times
    #[arg(long, value_name = "PATTERN", requires = "duration")]
    pub(crate) cron: Option<String>,
    /// Each time for this long
    #[arg(long, value_name = "TIME", requires = "cron")]
    pub(crate) duration: Option<String>,
    /// The zone of those times
    #[arg(long, value_name = "ZONE", requires = "cron")]
    pub(crate) time_zone: Option<String>,
    /// Show what it would hit now, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What every command takes
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

fn time(text: &str) -> Result<Duration, String> {
    duration::parse_ms(text).map(|ms| Duration::from_millis(ms.unsigned_abs())).map_err(|error| error.to_string())
}

/// A command to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// What kind it is.
    pub(crate) kind: CommandKind,
    /// The fields of its body that are its own.
    pub(crate) fields: Map<String, Value>,
    /// The others, and how it is sent.
    pub(crate) common: CommonArgs,
    /// It is only shown what it would hit.
    pub(crate) dry_run: bool,
}

impl PeopleCommand {
    /// The command that was typed.
    pub(crate) fn request(self) -> Request {
        let (kind, fields, common) = match self {
            Self::Ack { incident, lasts, until, common } => {
                (CommandKind::Acknowledge, json!({"incident": incident, "for": lasts, "until": until}), common)
            }
            Self::Unack { incident, common } => (CommandKind::Unacknowledge, json!({"incident": incident}), common),
            Self::Silence(args) => return args.request(CommandKind::Silence),
            Self::Maintain(args) => return args.request(CommandKind::Maintenance),
            Self::Expire { silence, common } => (CommandKind::Expire, json!({"silence": silence}), common),
            Self::Note { incident, text, common } => {
                (CommandKind::Note, json!({"incident": incident}), CommonArgs { comment: text, ..common })
            }
            Self::Owner { incident, owner, common } => {
                (CommandKind::Owner, json!({"incident": incident, "owner": owner}), common)
            }
            Self::Merge { incident, with, common } => (CommandKind::Merge, json!({"incident": incident, "with": with}), common),
            Self::Split { incident, alerts, common } => {
                (CommandKind::Split, json!({"incident": incident, "alerts": alerts}), common)
            }
            Self::Move { alert, into, common } => (CommandKind::Move, json!({"alert": alert, "into": into}), common),
            Self::Resolve { incident, common } => (CommandKind::Resolve, json!({"incident": incident}), common),
        };
        Request { kind, fields: present(fields), common, dry_run: false }
    }
}

impl SilenceArgs {
    fn request(self, kind: CommandKind) -> Request {
        let fields = json!({
            "matchers": self.matchers, "incident": self.incident, "node": self.node, "env": self.env, "for": self.lasts,
            "from": self.from, "to": self.to, "cron": self.cron, "duration": self.duration, "time_zone": self.time_zone,
        });
        Request { kind, fields: present(fields), common: self.common, dry_run: self.dry_run }
    }
}

/// The fields that were given.
fn present(fields: Value) -> Map<String, Value> {
    let Value::Object(fields) = fields else { return Map::new() };
    fields.into_iter().filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty())).collect()
}
