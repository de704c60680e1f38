//! What no type can say about a configuration: keys that need or exclude each other, and values that would mute or stop the engine.

use std::ops::RangeInclusive;

use crate::io::nats::client::settings::{NatsConfig, SignIn};
use crate::model::duration::format_ms;
use crate::model::limits::{ALERTS_PER_RULE_MAX, GROUPS_PER_TABLE_MAX, LEARN_EVERY_MS, ROWS_RETAINED_MAX};
use crate::process::config::{CheckpointConfig, Config};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The path of the key: `nats.servers`.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

/// Everything that is wrong with a configuration that could be read.
pub fn complaints(config: &Config) -> Vec<Complaint> {
    let mut all = Vec::new();
    let mut complain = |key, message: String, hint: &str| all.push(Complaint { key, message, hint: hint.into() });
    let nats = &config.nats;
    if nats.servers.is_empty() {
        complain("nats.servers", "nats.servers is empty".into(), "name at least one, for example nats://127.0.0.1:4222");
    }
    for server in nats.servers.iter().filter(|server| !is_server(server)) {
        // What stands before an @ may be a password.
        let shown = server.rsplit_once('@').map_or(server.as_str(), |(_, host)| host);
        complain("nats.servers", format!("{shown:?} is no server address"), "write for example nats://127.0.0.1:4222");
    }
    if nats.user.is_some() != nats.password.is_some() {
        let given = if nats.user.is_some() { "nats.user" } else { "nats.password" };
        complain(given, "nats.user and nats.password belong together".into(), "set both or none");
    }
    if nats.token.is_some() && (nats.user.is_some() || nats.password.is_some()) {
        complain("nats.token", "nats.token and nats.user exclude each other".into(), "sign in one way: drop one of them");
    }
    complain_of_sign_ins(nats, &mut complain);
    if nats.tls.cert_file.is_some() != nats.tls.key_file.is_some() {
        let given = if nats.tls.cert_file.is_some() { "nats.tls.cert_file" } else { "nats.tls.key_file" };
        complain(given, "nats.tls.cert_file and nats.tls.key_file belong together".into(), "set both or none");
    }
    if !REPLICAS.contains(&nats.replicas) {
        complain(
            "nats.replicas",
            format!("nats.replicas is {}", nats.replicas),
            "write 1 to 5: so many servers of a cluster hold each stream",
        );
    }
    if config.input.subjects.is_empty() {
        complain("input.subjects", "input.subjects is empty".into(), "name at least one, for example events.>");
    }
    if config.input.batch_messages == 0 {
        complain("input.batch_messages", "input.batch_messages is 0".into(), "ask for at least one message at once");
    }
    if config.input.batch_bytes < BATCH_BYTES_MIN {
        let message = format!("input.batch_bytes is {}, it must be at least {BATCH_BYTES_MIN}", config.input.batch_bytes);
        complain("input.batch_bytes", message, "one message of the server's usual limit must fit");
    }
    let threshold = config.correlation.threshold;
    let usual = format!("it is {} where the file is silent", Config::default().correlation.threshold);
    if !(0.0..=1.0).contains(&threshold) {
        complain("correlation.threshold", format!("correlation.threshold is {threshold}, it must be between 0 and 1"), &usual);
    }
    let topology = &config.topology;
    if topology.learn.observations == 0 {
        let message = "topology.observations must be at least 1".into();
        complain("topology.observations", message, "an edge that was never seen cannot be learned");
    }
    if topology.learn.forget_ms < LEARN_EVERY_MS {
        let hint = "a call that comes once a day wants 24h or more";
        complain("topology.forget", format!("topology.forget must be at least {}", format_ms(LEARN_EVERY_MS)), hint);
    }
    if let Some(bucket) = topology.bucket.as_deref().filter(|bucket| !is_bucket(bucket)) {
        let message = format!("{bucket:?} is no name of a bucket");
        complain("topology.bucket", message, "use letters, digits, - and _");
    }
    if topology.bucket.as_deref() == Some(config.output.bucket.as_str()) {
        let message = "topology.bucket and output.bucket are the same".into();
        complain("topology.bucket", message, "incidents are no topology: name another bucket");
    }
    let limits = &config.limits;
    for (key, value, most) in [
        ("limits.groups", limits.groups, GROUPS_PER_TABLE_MAX),
        ("limits.retained_rows", limits.retained_rows, ROWS_RETAINED_MAX),
        ("limits.alerts", limits.alerts, ALERTS_PER_RULE_MAX),
    ] {
        if !(1..=most).contains(&value) {
            let hint = format!("it is {most} where the file is silent");
            complain(key, format!("{key} is {value}, it must be between 1 and {most}"), &hint);
        }
    }
    if let Some(share) = limits.cpu_share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
        let message = format!("limits.cpu_share is {share}, it must be more than 0 and at most 1");
        complain("limits.cpu_share", message, "0.25 is a quarter of one core; off for no limit");
    }
    complain_of_checkpoints(config, &mut complain);
    if let Some((key, message, hint)) = config.alerts.complaint() {
        complain(key, message, hint);
    }
    if config.notify.flaps == 0 {
        complain(
            "notify.flaps",
            "notify.flaps must be at least 1".into(),
            "with 0 the first reopening would mute every incident",
        );
    }
    all
}

/// The client signs in to all servers in one way.
fn complain_of_sign_ins(nats: &NatsConfig, complain: &mut dyn FnMut(&'static str, String, &str)) {
    let Some(first) = nats.sign_in_of_servers() else { return };
    if nats.servers.iter().filter_map(|server| SignIn::of(server)).any(|other| other != first) {
        let message = "nats.servers name different ways to sign in".into();
        complain("nats.servers", message, "one way serves for all servers: say it once, or set nats.user and nats.password");
    }
    let others = [
        ("nats.user", nats.user.is_some()),
        ("nats.token", nats.token.is_some()),
        ("nats.creds_file", nats.creds_file.is_some()),
    ];
    if let Some((key, _)) = others.into_iter().find(|(_, is_set)| *is_set) {
        complain(key, format!("nats.servers and {key} both say how to sign in"), "sign in one way: drop one of them");
    }
}

fn complain_of_checkpoints(config: &Config, complain: &mut dyn FnMut(&'static str, String, &str)) {
    let (checkpoint, lease) = (&config.checkpoint, config.standby.lease);
    if checkpoint.every.0 <= 0 {
        let hint = "30s is usual; checkpoint.dir: off takes none";
        complain("checkpoint.every", "checkpoint.every must be more than 0".into(), hint);
    }
    if lease.0 < LEASE_MS_MIN {
        let message = format!("standby.lease must be at least {}", format_ms(LEASE_MS_MIN));
        complain("standby.lease", message, "10s is usual: it must outlast a pause of the process and of the network");
    }
    let Some(store) = &checkpoint.store else { return };
    if !is_bucket(store) {
        complain("checkpoint.store", format!("{store:?} is no name of a bucket"), "use letters, digits, - and _; or off");
    }
    let others = [Some(&config.output.bucket), config.topology.bucket.as_ref()];
    if others.contains(&Some(store)) {
        let message = "checkpoint.store is the bucket of something else".into();
        complain("checkpoint.store", message, "checkpoints need a bucket of their own: name another one");
    }
    if checkpoint.dir.is_some() && checkpoint.dir != CheckpointConfig::default().dir {
        let message = "checkpoint.store and checkpoint.dir exclude each other".into();
        complain("checkpoint.dir", message, "checkpoints are kept in one place: drop one of them");
    }
    if !is_bucket(&config.input.consumer) {
        let message = format!("{:?} is no name for a lease", config.input.consumer);
        complain("input.consumer", message, "with checkpoint.store use letters, digits, - and _");
    }
}

fn is_bucket(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

/// The text with passwords and tokens blotted out, place for place: an error shows the line that it is about.
pub fn without_secrets(text: &str) -> String {
    text.split('\n').map(blot).collect::<Vec<_>>().join("\n")
}

/// A misspelt key may hold a secret as well, so the whole word is not asked for.
fn blot(line: &str) -> String {
    let colon_after = |word: &str| line.to_ascii_lowercase().find(word).and_then(|at| Some(at + line[at..].find(':')? + 1));
    let credentials = line.find("://").filter(|_| line.contains('@')).map(|at| at + "://".len());
    match ["pass", "token", "secret"].into_iter().filter_map(colon_after).chain(credentials).min() {
        Some(from) => {
            let hidden = line[from..].chars().map(|c| if c.is_whitespace() { c } else { '*' });
            line[..from].chars().chain(hidden).collect()
        }
        None => line.to_string(),
    }
}

/// A shorter lease would end whenever a server is busy.
const LEASE_MS_MIN: i64 = 1_000;
/// What JetStream takes.
const REPLICAS: RangeInclusive<usize> = 1..=5;
/// The usual limit of one message of a NATS server.
const BATCH_BYTES_MIN: usize = 1 << 20;

fn is_server(text: &str) -> bool {
    !text.contains(char::is_whitespace) && text.parse::<async_nats::ServerAddr>().is_ok()
}
