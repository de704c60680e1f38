//! The command line: a contract that scripts rely on. Exit codes: 0 good; 1 the answer is no; 2 it could not run. Each subcommand is a
//! file.

mod answer;
mod backtest;
mod check;
mod command;
pub mod demo;
mod explain;
mod import;
mod incident_of;
mod intake;
mod new_rule;
mod notify;
mod output_file;
mod replay;
mod route;
mod run;
mod schema;
mod signals;
mod test;
mod web;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::io::files::signals_file::SignalsFileError;
use crate::io::files::topology_file::TopologyError;
use crate::model::diagnostic::report::Report;
use crate::process::cli::answer::{Answer, Terminal};
use crate::process::file_limit;
use crate::process::telemetry::logging::{self, LogFormat};

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
    Run(run::RunArgs),
    /// Take in over HTTP what senders post, and nothing else, until stopped
    ///
    /// Stores what comes in the stream of events, as it comes, and answers when the server has it. It keeps no state: any number of
    /// them may run, behind a balancer. `squelch run` does this too, on http.listen. See docs/collectors.md.
    #[command(after_help = "Example:\n  squelch intake --config squelch.yaml")]
    Intake(intake::IntakeArgs),
    /// Show open incidents as pages, and nothing else, until stopped
    ///
    /// `squelch run` shows them too, on http.listen. This does that part alone, on any machine that reaches the NATS server. It keeps
    /// no state: any number of them may run. See docs/web.md.
    #[command(after_help = "Example:\n  squelch web --config squelch.yaml")]
    Web(web::WebArgs),
    /// Notify people of what a squelch has published, and do nothing else
    ///
    /// `squelch run` notifies by itself where squelch.yaml has `notifiers`. This does that part alone, on any machine. Of several
    /// processes one notifies, and the others stand by. See docs/notifications.md.
    #[command(
        after_help = "Examples:\n  squelch notify --config squelch.yaml\n  squelch notify --preview inc-0123456789abcdef\n  squelch notify --drill --severity critical --env production"
    )]
    Notify(notify::NotifyArgs),
    /// Who would be notified of an incident, and by which line of the settings
    ///
    /// INCIDENT is an id, which begins with `inc-`. LABELS describe an incident that might be: env, severity, entity, rule, and the
    /// labels of an alert.
    #[command(
        after_help = "Examples:\n  squelch route --explain inc-0123456789abcdef\n  squelch route --explain env=production severity=warning team=payments --at 2026-03-14T22:00:00Z"
    )]
    Route(route::RouteArgs),
    /// A recorded outage, embedded, no server: what it found and what it spared you
    Demo(demo::DemoArgs),
    /// The same engine over files, at full speed
    ///
    /// Prints one JSON line for each incident revision, then a summary on stderr. Several files are merged by time; the end of
    /// the last event ends the replay.
    #[command(
        after_help = "Example:\n  squelch replay --rules rules --topology topology.yaml --events monday.jsonl.zst --format text"
    )]
    Replay(replay::ReplayArgs),
    /// Every error in every rule file, with file:line:column
    #[command(after_help = "Example:\n  squelch check rules")]
    Check(check::CheckArgs),
    /// Rule authors' tests: events in, expected alerts, incidents and notifications out
    ///
    /// Reads `*_test.yaml`, and any YAML in a folder `tests`, beside the rules. A test has series in the notation of promtool, or events
    /// and commands, and says what must come out at which time. Files of `promtool test rules` are read as well, for imported rules.
    /// See docs/testing.md.
    #[command(after_help = "Examples:\n  squelch test rules\n  squelch test rules --junit results.xml")]
    Test(test::TestArgs),
    /// Which series of recorded events are known as what, and which as nothing
    ///
    /// Lists each metric name with its role in the table `signals`, then those without a role, busiest first, each with a line for the
    /// mapping to confirm. See docs/signals.md.
    #[command(after_help = "Example:\n  squelch signals --events monday.jsonl.zst --config squelch.yaml")]
    Signals(signals::SignalsArgs),
    /// How a rule is evaluated, or why an incident is what it is
    ///
    /// RULE is a rule's name or file. INCIDENT is an id, which begins with `inc-`: it is looked for among what a squelch has
    /// published on NATS, or in the output of a replay, named with --from.
    #[command(
        after_help = "Examples:\n  squelch explain http_server_error_rate\n  curl -s http://127.0.0.1:9464/metrics | squelch explain http_server_error_rate --metrics -\n  squelch explain inc-0123456789abcdef --nats nats://nats.example.com:4222\n  squelch replay … --output out.jsonl; squelch explain inc-0123456789abcdef --from out.jsonl"
    )]
    Explain(explain::ExplainArgs),
    /// A commented rule to begin with, and a test of it
    #[command(after_help = "Example:\n  squelch new rule queue_long --dir rules/app")]
    New(new_rule::NewArgs),
    /// Other rules over recorded events, beside the rules as they are
    ///
    /// Shows which pages come, go, move and merge, how soon each known fault was paged, and how many pages other thresholds would have
    /// made. See docs/testing.md.
    #[command(
        after_help = "Examples:\n  squelch backtest --rules new --against rules --events monday.jsonl.zst --topology topology.yaml\n  squelch backtest --rules rules --events monday.jsonl --what-if host_cpu_high --threshold 80 --values 70,75,85,90"
    )]
    Backtest(backtest::BacktestArgs),
    /// Rule files of other systems as squelch's, each with a test
    Import(import::ImportArgs),
    #[command(flatten)]
    People(command::PeopleCommand),
    /// The JSON Schema of what squelch publishes
    Schema(schema::SchemaArgs),
    /// A completion script for a shell
    #[command(after_help = "Example:\n  squelch completions bash > /etc/bash_completion.d/squelch")]
    Completions(CompletionsArgs),
}

#[derive(Args, Debug)]
struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let server = match &cli.command {
        Command::Run(_) | Command::Intake(_) | Command::Web(_) => true,
        Command::Notify(args) => args.is_server(),
        _ => false,
    };
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Before any other thread starts: how a limit of the file size acts on a write is a setting of the whole process.
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
        _ => match error.downcast_ref::<SignalsFileError>() {
            Some(SignalsFileError::Wrong(report)) => Some(report),
            _ => error.downcast_ref::<Report>(),
        },
    }
}

fn dispatch(command: Command) -> Result<Answer> {
    let mut terminal = Terminal::stdout();
    match command {
        Command::Run(args) => {
            // The lock of standard output is for commands that print.
            drop(terminal);
            run::run(args)?;
        }
        Command::Intake(args) => {
            drop(terminal);
            intake::run(&args)?;
        }
        Command::Web(args) => {
            drop(terminal);
            web::run(&args)?;
        }
        Command::Notify(args) if args.is_server() => {
            drop(terminal);
            notify::serve(&args)?;
        }
        Command::Notify(args) => return notify::run(&args, &mut terminal),
        Command::Route(args) => return route::run(&args, &mut terminal),
        Command::Demo(args) => demo::run(args, &mut terminal)?,
        Command::Replay(args) => replay::run(&args, &mut terminal)?,
        Command::Check(args) => return check::run(&args, &mut terminal),
        Command::Test(args) => return test::run(&args, &mut terminal),
        Command::Signals(args) => signals::run(&args, &mut terminal)?,
        Command::Explain(args) => return explain::run(args, &mut terminal),
        Command::New(args) => new_rule::run(&args, &mut terminal)?,
        Command::Backtest(args) => backtest::run(&args, &mut terminal)?,
        Command::Import(args) => return import::run(&args, &mut terminal),
        Command::People(command) => return command::send::run(command.request(), &mut terminal),
        Command::Schema(args) => schema::run(&args, &mut terminal)?,
        Command::Completions(args) => {
            clap_complete::generate(args.shell, &mut Cli::command(), "squelch", &mut terminal.out);
        }
    }
    Ok(Answer::Yes)
}

/// `squelch replay … | head` is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
