//! What no type can say about a configuration: keys that need or exclude each other, and values that would mute or stop the engine.

use std::ops::RangeInclusive;

use crate::io::nats::client::settings::{NatsConfig, SignIn};
use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::duration::format_ms;
use crate::model::limits::{ALERTS_PER_RULE_MAX, GROUPS_PER_TABLE_MAX, LEARN_EVERY_MS, ROWS_RETAINED_MAX};
use crate::process::config::settings::{CheckpointConfig, Config};

/// A setting that is wrong, before its place in the file is known.
pub struct Problem {
    /// The path of the key: `nats.servers`.
    key: &'static str,
    message: String,
    hint: String,
}

impl Problem {
    /// With its place in the file.
    pub fn at(self, file: &Node) -> Diagnostic {
        let span = file.innermost(self.key).map_or(0..0, |entry| entry.key_span.start..entry.node.span.end);
        Diagnostic::new(span, self.message, self.hint)
    }
}

/// Everything that is wrong with a configuration that could be read.
pub fn problems(config: &Config) -> Vec<Problem> {
    let mut all = Vec::new();
    let mut add = |key, message: String, hint: &str| all.push(Problem { key, message, hint: hint.into() });
    let nats = &config.nats;
    if nats.servers.is_empty() {
        add("nats.servers", "nats.servers is empty".into(), "name at least one, for example nats://127.0.0.1:4222");
    }
    for server in nats.servers.iter().filter(|server| !is_server(server)) {
        // What stands before an @ may be a password.
        let shown = server.rsplit_once('@').map_or(server.as_str(), |(_, host)| host);
        add("nats.servers", format!("{shown:?} is no server address"), "write for example nats://127.0.0.1:4222");
    }
    if nats.user.is_some() != nats.password.is_some() {
        let given = if nats.user.is_some() { "nats.user" } else { "nats.password" };
        add(given, "nats.user and nats.password belong together".into(), "set both or none");
    }
    if nats.token.is_some() && (nats.user.is_some() || nats.password.is_some()) {
        add("nats.token", "nats.token and nats.user exclude each other".into(), "sign in one way: drop one of them");
    }
    check_sign_ins(nats, &mut add);
    if nats.tls.cert_file.is_some() != nats.tls.key_file.is_some() {
        let given = if nats.tls.cert_file.is_some() { "nats.tls.cert_file" } else { "nats.tls.key_file" };
        add(given, "nats.tls.cert_file and nats.tls.key_file belong together".into(), "set both or none");
    }
    if !REPLICAS.contains(&nats.replicas) {
        add(
            "nats.replicas",
            format!("nats.replicas is {}", nats.replicas),
            "write 1 to 5: so many servers of a cluster hold each stream",
        );
    }
    if config.input.subjects.is_empty() {
        add("input.subjects", "input.subjects is empty".into(), "name at least one, for example events.>");
    }
    if config.input.batch_messages == 0 {
        add("input.batch_messages", "input.batch_messages is 0".into(), "ask for at least one message at once");
    }
    if config.input.batch_bytes < BATCH_BYTES_MIN {
        let message = format!("input.batch_bytes is {}, it must be at least {BATCH_BYTES_MIN}", config.input.batch_bytes);
        add("input.batch_bytes", message, "one message of the server's usual limit must fit");
    }
    let threshold = config.correlation.threshold;
    let usual = format!("it is {} where the file is silent", Config::default().correlation.threshold);
    if !(0.0..=1.0).contains(&threshold) {
        add("correlation.threshold", format!("correlation.threshold is {threshold}, it must be between 0 and 1"), &usual);
    }
    let topology = &config.topology;
    if topology.learn.observations == 0 {
        let message = "topology.observations must be at least 1".into();
        add("topology.observations", message, "an edge that was never seen cannot be learned");
    }
    if topology.learn.forget_ms < LEARN_EVERY_MS {
        let hint = "a call that comes once a day wants 24h or more";
        add("topology.forget", format!("topology.forget must be at least {}", format_ms(LEARN_EVERY_MS)), hint);
    }
    if let Some(bucket) = topology.bucket.as_deref().filter(|bucket| !is_bucket(bucket)) {
        let message = format!("{bucket:?} is no name of a bucket");
        add("topology.bucket", message, "use letters, digits, - and _");
    }
    if topology.bucket.as_deref() == Some(config.output.bucket.as_str()) {
        let message = "topology.bucket and output.bucket are the same".into();
        add("topology.bucket", message, "incidents are no topology: name another bucket");
    }
    let limits = &config.limits;
    for (key, value, most) in [
        ("limits.groups", limits.groups, GROUPS_PER_TABLE_MAX),
        ("limits.retained_rows", limits.retained_rows, ROWS_RETAINED_MAX),
        ("limits.alerts", limits.alerts, ALERTS_PER_RULE_MAX),
    ] {
        if !(1..=most).contains(&value) {
            let hint = format!("it is {most} where the file is silent");
            add(key, format!("{key} is {value}, it must be between 1 and {most}"), &hint);
        }
    }
    if let Some(share) = limits.cpu_share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
        let message = format!("limits.cpu_share is {share}, it must be more than 0 and at most 1");
        add("limits.cpu_share", message, "0.25 is a quarter of one core; off for no limit");
    }
    check_checkpoints(config, &mut add);
    if let Some((key, message, hint)) = config.alerts.problem() {
        add(key, message, hint);
    }
    for (key, message, hint) in config.intake.problems(&config.input) {
        add(key, message, hint);
    }
    if config.notify.flaps == 0 {
        add("notify.flaps", "notify.flaps must be at least 1".into(), "with 0 the first reopening would mute every incident");
    }
    all
}

/// The client signs in to all servers in one way.
fn check_sign_ins(nats: &NatsConfig, add: &mut dyn FnMut(&'static str, String, &str)) {
    let Some(first) = nats.sign_in_of_servers() else { return };
    if nats.servers.iter().filter_map(|server| SignIn::of(server)).any(|other| other != first) {
        let message = "nats.servers name different ways to sign in".into();
        add("nats.servers", message, "one way serves for all servers: say it once, or set nats.user and nats.password");
    }
    let others = [
        ("nats.user", nats.user.is_some()),
        ("nats.token", nats.token.is_some()),
        ("nats.creds_file", nats.creds_file.is_some()),
    ];
    if let Some((key, _)) = others.into_iter().find(|(_, is_set)| *is_set) {
        add(key, format!("nats.servers and {key} both say how to sign in"), "sign in one way: drop one of them");
    }
}

fn check_checkpoints(config: &Config, add: &mut dyn FnMut(&'static str, String, &str)) {
    let (checkpoint, lease) = (&config.checkpoint, config.standby.lease);
    if checkpoint.every.0 <= 0 {
        let hint = "30s is usual; checkpoint.dir: off takes none";
        add("checkpoint.every", "checkpoint.every must be more than 0".into(), hint);
    }
    if lease.0 < LEASE_MS_MIN {
        let message = format!("standby.lease must be at least {}", format_ms(LEASE_MS_MIN));
        add("standby.lease", message, "10s is usual: it must outlast a pause of the process and of the network");
    }
    let Some(store) = &checkpoint.store else { return };
    if !is_bucket(store) {
        add("checkpoint.store", format!("{store:?} is no name of a bucket"), "use letters, digits, - and _; or off");
    }
    let others = [Some(&config.output.bucket), config.topology.bucket.as_ref()];
    if others.contains(&Some(store)) {
        let message = "checkpoint.store is the bucket of something else".into();
        add("checkpoint.store", message, "checkpoints need a bucket of their own: name another one");
    }
    if checkpoint.dir.is_some() && checkpoint.dir != CheckpointConfig::default().dir {
        let message = "checkpoint.store and checkpoint.dir exclude each other".into();
        add("checkpoint.dir", message, "checkpoints are kept in one place: drop one of them");
    }
    if !is_bucket(&config.input.consumer) {
        let message = format!("{:?} is no name for a lease", config.input.consumer);
        add("input.consumer", message, "with checkpoint.store use letters, digits, - and _");
    }
}

fn is_bucket(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

/// The text with passwords and tokens replaced by stars, byte for byte: an error shows the line that it is about.
pub fn without_secrets(text: &str) -> String {
    text.split('\n').map(hide).collect::<Vec<_>>().join("\n")
}

/// A misspelt key may hold a secret as well, so the whole word is not asked for.
fn hide(line: &str) -> String {
    let colon_after = |word: &str| line.to_ascii_lowercase().find(word).and_then(|at| Some(at + line[at..].find(':')? + 1));
    let credentials = line.find("://").filter(|_| line.contains('@')).map(|at| at + "://".len());
    match ["pass", "token", "secret", "_key", "authorization"].into_iter().filter_map(colon_after).chain(credentials).min() {
        Some(from) => {
            // Byte for byte, so that places stay where they are.
            let hidden = line[from..].bytes().map(|byte| if byte.is_ascii_whitespace() { char::from(byte) } else { '*' });
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
