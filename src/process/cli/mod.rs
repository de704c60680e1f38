//! The command line: a contract that scripts rely on. Exit codes: 0 good; 1 the answer is no; 2 it could not run.

pub mod check;
pub mod demo;
pub mod explain_incident;
pub mod explain_rule;
pub mod replay;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::engine::Engine;
use crate::io::decode::decoder::Decoder;
use crate::io::files::recorded_events::EventFiles;
use crate::io::files::topology_file::{self, TopologyError};
use crate::io::incident_message;
use crate::model::diagnostic::report::Report;
use crate::process::cli::check::{count, load_or_explain};
use crate::process::cli::replay::{replay, stopwatch, summary};
use crate::process::cluster;
use crate::process::cluster::Partition;
use crate::process::config::Config;
use crate::process::report::incidents_text::{self, Style};
use crate::process::telemetry::logging::{self, LogFormat};
use crate::process::{file_limit, run};
use crate::topology::Topology;

/// Streaming alert correlation: windowed SQL rules over NATS, one explained incident per problem.
///
/// Collectors publish metrics, logs, spans and other systems' alerts to NATS; rules are plain SQL files; related alerts become
/// one incident with a ranked cause; each incident becomes the few messages that a person needs.
#[derive(Parser, Debug)]
#[command(
    name = "squelch",
    version,
    max_term_width = 100,
    after_help = "Start with `squelch demo`. Exit codes: 0 good, 1 the answer is no (errors found), 2 it could not run."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Form of the log lines on stderr; RUST_LOG sets their level
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// NATS in, incidents out, until stopped
    ///
    /// Reads events from a JetStream stream, evaluates the rules and publishes incidents. Makes the streams that are missing.
    /// Stops cleanly on SIGTERM or Ctrl-C: what was read is finished, published and acknowledged.
    ///
    /// More than one machine: workers read and count the events, each its partition, and one correlator makes incidents of it.
    /// See docs/scaling.md.
    #[command(
        after_help = "Examples:\n  nats-server -js &\n  squelch run --config squelch.yaml\n  nats sub 'incidents.production.critical.>'\n\n  squelch run --role worker --partition 1/2\n  squelch run --role worker --partition 2/2\n  squelch run --role correlator --partitions 2"
    )]
    Run {
        /// The configuration; every key has a default
        #[arg(long, value_name = "FILE", default_value = "squelch.yaml")]
        config: PathBuf,
        /// Do a part of the work only
        #[arg(long, value_enum)]
        role: Option<RoleName>,
        /// Which part of the events a worker reads: 1/2 and 2/2 are all
        #[arg(long, value_name = "I/N", required_if_eq("role", "worker"), requires = "role", conflicts_with = "partitions")]
        partition: Option<Partition>,
        /// How many workers there are for the correlator
        #[arg(long, value_name = "N", required_if_eq("role", "correlator"), requires = "role", value_parser = cluster::partitions)]
        partitions: Option<usize>,
    },
    /// A recorded outage, embedded, no server: what it found and what it spared you
    Demo {
        /// Another night: other noise, the same story
        #[arg(long, value_name = "NUMBER", default_value_t = crate::demo::SEED)]
        seed: u64,
        /// Write the recorded events as JSON lines to this file instead of telling the story
        #[arg(long, value_name = "FILE")]
        events: Option<PathBuf>,
        /// Write the demo's topology to this file as well
        #[arg(long, value_name = "FILE", requires = "events")]
        topology: Option<PathBuf>,
    },
    /// The same engine over files, at full speed
    ///
    /// Prints one JSON line for each incident revision, then a summary on stderr. Several files are merged by time; the end of
    /// the last event ends the replay.
    #[command(
        after_help = "Example:\n  squelch replay --rules rules --topology topology.yaml --events monday.jsonl.zst --format text"
    )]
    Replay(ReplayArgs),
    /// Every error in every rule file, with file:line:column
    #[command(after_help = "Example:\n  squelch check rules")]
    Check {
        /// Folders or files of rules
        #[arg(required = true, value_name = "DIR")]
        paths: Vec<PathBuf>,
    },
    /// How a rule is evaluated, or why an incident is what it is
    ///
    /// RULE is a rule's name or file. INCIDENT is an id, which begins with `inc-`: it is looked for among what a squelch has
    /// published on NATS, or in the output of a replay, named with --from.
    #[command(
        after_help = "Examples:\n  squelch explain http_server_error_rate\n  curl -s http://127.0.0.1:9464/metrics | squelch explain http_server_error_rate --metrics -\n  squelch explain inc-0123456789abcdef --nats nats://nats.example.com:4222\n  squelch replay … --output out.jsonl; squelch explain inc-0123456789abcdef --from out.jsonl"
    )]
    Explain {
        /// A rule's name or file, or an incident's id
        #[arg(value_name = "RULE | INCIDENT")]
        what: String,
        /// Folders or files of rules
        #[arg(long, value_name = "DIR", default_value = "rules")]
        rules: Vec<PathBuf>,
        /// For incidents: the output of a replay, instead of NATS
        #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "nats"])]
        from: Option<PathBuf>,
        /// For incidents: the configuration that names the server and the stream; every key has a default
        #[arg(long, value_name = "FILE", default_value = "squelch.yaml")]
        config: PathBuf,
        /// For incidents: this server instead of the configured ones
        #[arg(long, value_name = "URL")]
        nats: Option<String>,
        /// The text of a running squelch's /metrics, `-` for stdin: adds what the rule has cost so far
        #[arg(long, value_name = "FILE", conflicts_with = "from")]
        metrics: Option<PathBuf>,
    },
    /// The JSON Schema of what squelch publishes
    Schema {
        /// Which message
        #[arg(value_enum)]
        what: SchemaOf,
    },
    /// A completion script for a shell
    #[command(after_help = "Example:\n  squelch completions bash > /etc/bash_completion.d/squelch")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Args, Debug)]
struct ReplayArgs {
    /// A folder or file of rules
    #[arg(long, value_name = "DIR", required = true)]
    rules: Vec<PathBuf>,
    /// The dependency graph, YAML or JSON
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Recorded events, one JSON object a line; .gz and .zst are inflated
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    events: Vec<PathBuf>,
    /// Settings for time, correlation and notification
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the revisions here instead of to stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Form of the revisions
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum OutputFormat {
    /// One JSON object a line
    #[default]
    Json,
    /// As a person would be told
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// Reads and counts events
    Worker,
    /// Makes incidents of what the workers have counted
    Correlator,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SchemaOf {
    /// A revision of an incident
    Incident,
}

/// What a command answers.
enum Answer {
    Yes,
    No,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let server = matches!(cli.command, Command::Run { .. });
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Before any other thread: what a limit of the file size does to a write is a thing of the whole process.
    if let Err(error) = file_limit::is_an_error() {
        drop(writeln!(std::io::stderr(), "squelch: a limit of the file size would end this process: {error}"));
    }
    logging::start(cli.log_format, if server { "info,async_nats=warn" } else { "warn" }, color);
    match dispatch(cli.command) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let mut stderr = std::io::stderr().lock();
            // Nothing is left to be done where even this cannot be written.
            drop(match report_of(&error) {
                Some(report) => write!(stderr, "{}", report.render(color)),
                None => writeln!(stderr, "squelch: {error:#}"),
            });
            ExitCode::from(2)
        }
    }
}

/// What is wrong with a file, where that is the error.
fn report_of(error: &anyhow::Error) -> Option<&Report> {
    match error.downcast_ref::<TopologyError>() {
        Some(TopologyError::Shape(report)) => Some(report),
        _ => error.downcast_ref::<Report>(),
    }
}

fn dispatch(command: Command) -> Result<Answer> {
    let mut stdout = std::io::stdout().lock();
    let style = Style { color: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() };
    match command {
        Command::Run { config, partition, partitions, .. } => {
            drop(stdout);
            let config = config_of(&config)?;
            match partition {
                Some(partition) => cluster::worker::main(config, partition)?,
                None => run::main(config, partitions)?,
            }
        }
        Command::Demo { seed, events: None, .. } => demo::run(seed, &mut stdout, style)?,
        Command::Demo { seed, events: Some(events), topology } => {
            let recording = crate::demo::record(seed);
            std::fs::write(&events, &recording.events).with_context(|| format!("cannot write {}", events.display()))?;
            if let Some(path) = topology {
                std::fs::write(&path, recording.topology_yaml).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Command::Replay(args) => replay_files(args, &mut stdout, style)?,
        Command::Check { paths } => return check(&paths, &mut stdout, style),
        Command::Explain { what, from: Some(file), .. } => return say(explain_incident::from_file(&what, &file)?, &mut stdout),
        Command::Explain { what, config, nats, metrics: None, .. } if explain_incident::is_incident(&what) => {
            let mut config = config_of(&config)?;
            config.nats.servers = nats.map_or(config.nats.servers, |url| vec![url]);
            return say(explain_incident::from_nats(&what, &config)?, &mut stdout);
        }
        Command::Explain { what, rules, metrics, .. } => {
            let metrics = metrics.as_deref().map(text_of).transpose()?;
            let text = explain_rule_of(&what, &rules, metrics.as_deref(), style)?;
            return say(text.ok_or_else(|| format!("there is no {what} among these rules")), &mut stdout);
        }
        Command::Schema { what: SchemaOf::Incident } => writeln!(stdout, "{:#}", incident_message::schema())?,
        Command::Completions { shell } => clap_complete::generate(shell, &mut Cli::command(), "squelch", &mut stdout),
    }
    Ok(Answer::Yes)
}

/// The configuration; the default file may be missing.
fn config_of(file: &std::path::Path) -> Result<Config> {
    let needed = file.exists() || file != std::path::Path::new("squelch.yaml");
    if needed { Config::read(file) } else { Ok(Config::default()) }
}

fn check(paths: &[PathBuf], stdout: &mut dyn Write, style: Style) -> Result<Answer> {
    for path in paths {
        std::fs::metadata(path)
            .with_context(|| format!("cannot check {}: name a folder of rules or a rule file", path.display()))?;
    }
    let mut printed = String::new();
    match load_or_explain(paths, style.color, &mut |text| printed.push_str(text)) {
        Ok(book) => {
            writeln!(stdout, "{}: good", count(book.rules.len(), "rule"))?;
            Ok(Answer::Yes)
        }
        Err(error) => {
            writeln!(stdout, "{printed}{error}")?;
            Ok(Answer::No)
        }
    }
}

/// A file's text, or what comes on stdin.
fn text_of(file: &std::path::Path) -> Result<String> {
    if file == std::path::Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).context("cannot read stdin");
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn explain_rule_of(what: &str, rules: &[PathBuf], metrics: Option<&str>, style: Style) -> Result<Option<String>> {
    let book = load_or_explain(rules, style.color, &mut |text| drop(std::io::stderr().write_all(text.as_bytes())))?;
    explain_rule::rule(what, book, metrics)
}

/// What was asked for, or why there is nothing to tell.
fn say(text: Result<String, String>, stdout: &mut dyn Write) -> Result<Answer> {
    match text {
        Ok(text) => {
            write!(stdout, "{text}")?;
            Ok(Answer::Yes)
        }
        Err(missing) => {
            writeln!(stdout, "{missing}")?;
            Ok(Answer::No)
        }
    }
}

fn replay_files(args: ReplayArgs, stdout: &mut dyn Write, style: Style) -> Result<()> {
    let config = args.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    let mut book = load_or_explain(&args.rules, style.color, &mut |text| drop(std::io::stderr().write_all(text.as_bytes())))?;
    config.topology.learn.add_label_keys(&mut book.label_keys);
    let graph = match &args.topology {
        Some(path) => Topology::new(topology_file::read(path)?),
        None => Topology::default(),
    };
    let mut file = match &args.output {
        Some(path) => Some(std::io::BufWriter::new(
            std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
        )),
        None => None,
    };
    let decoder = Decoder::new(&book.label_keys, i64::MAX);
    let engine = Engine::new(book.rules, graph, &config.engine())?;
    let files = EventFiles::open(&args.events, config.time.future.0).context("cannot open the events")?;
    let took = stopwatch();
    let (engine, counts) = replay(engine, decoder, files, &mut |revision| {
        let text = match args.format {
            OutputFormat::Json => incident_message::to_json(&revision),
            OutputFormat::Text => incidents_text::revision(&revision, style),
        };
        match &mut file {
            Some(file) => writeln!(file, "{text}")?,
            None => writeln!(stdout, "{text}")?,
        }
        Ok(())
    })?;
    if let Some(file) = &mut file {
        file.flush()?;
    }
    stdout.flush()?;
    summary(&mut std::io::stderr().lock(), &engine, &counts, took())?;
    Ok(())
}

/// `squelch replay … | head` is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
