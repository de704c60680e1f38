//! squelch: a streaming alert-correlation engine. Metrics, logs, spans and other systems' alerts come in over NATS; windowed SQL
//! rules turn breaches into alerts; related alerts become one incident with a ranked cause; each revision of an incident goes out
//! with a decision to notify a person or to stay silent, and why.
//!
//! Data flows one way:
//!
//! ```text
//! message -> io::decode -> Arrow columns -> window (panes) -> rule (what stands above the aggregates) -> breach
//!         -> alert (pending, firing) -> incident (linked, ranked, notified or not) -> io::incident_message
//! ```
//!
//! A file uses only its own floor and lower ones (`tests/it/architecture.rs` keeps it):
//!
//! - floor 5, [`process`]: settings, wiring by bounded channels, the command line. The only floor with anyhow.
//! - floor 4, [`io`]: formats, files, NATS, HTTP; they do not know each other. [`demo`]: the recording that needs no server.
//! - floor 3, [`engine`]: owns all state; `step(input) -> revisions`.
//! - floor 3, [`notify`]: from a revision to the messages that people get. Pure as well.
//! - floor 3, [`page`]: from what was published to the pages that people see. Pure as well.
//! - floor 2, [`alert`], [`topology`], [`incident`]: what the state means. Pure: no clock, no I/O.
//! - floor 1, [`rule`], [`window`]: SQL, planned by DataFusion, cut at its aggregates, and kept incrementally.
//! - floor 0, [`model`]: labels, time, severity, events, limits.
//!
//! Nothing on floors 0 to 3 reads a clock, draws random numbers or does I/O: the same messages in the same order give the same revisions.
//!
//! Where to look for what:
//!
//! - what a rule may say: [`rule::definition`], [`rule::sql::catalog`], [`rule::check`]; how its SQL is cut: [`rule::plan`]
//! - panes, late rows, evaluations: [`window::state`], [`window::time::watermark`], [`window::evaluator`]
//! - `for` and `keep_firing_for`: [`alert::lifecycle`]; why two alerts are one incident: [`incident::link_score`]
//! - which entity is the cause: [`incident::root_cause`]; whether a person is notified: [`incident::notify`]
//! - the message that goes out: [`io::incident_message`]; when input is acknowledged: [`io::nats::output`]
//! - the threads of `squelch run`: [`process::run`]; work shared by several processes: [`engine::partial`], [`process::cluster`]
//! - every limit: [`model::limits`]

pub mod alert;
pub mod demo;
pub mod engine;
pub mod incident;
pub mod io;
pub mod model;
pub mod notify;
pub mod page;
pub mod process;
pub mod rule;
pub mod topology;
pub mod window;
