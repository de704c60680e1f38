//! Logs on stderr, as text for people or JSON for machines.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Parts of the NATS client that write down on fine levels how they sign in, password and all.
const SILENT: [&str; 2] = ["async_nats::connection=warn", "async_nats::connector=warn"];

/// Starts logging. `RUST_LOG` sets the level; without it, `info` for the server and `warn` for the other commands.
pub fn start(format: LogFormat, default_level: &str, color: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_level));
    let filter = SILENT.into_iter().filter_map(|part| part.parse().ok()).fold(filter, EnvFilter::add_directive);
    // What cannot be written is left out: saying so would go where the line could not go, and take the thread down.
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(color).log_internal_errors(false);
    let started = match format {
        LogFormat::Text => builder.with_target(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    // In one process there is one logger: a second start (in tests) keeps the first.
    drop(started);
}
