//! What squelch reports about itself: figures, metrics, health, logs, and the processor time of each rule. [`Telemetry`] is shared by
//! all stages; [`metrics`] and [`endpoint`] render it.

pub mod endpoint;
pub mod intake;
pub mod logging;
pub mod metrics;
pub mod prometheus_text;
pub mod rule_cpu;
pub mod snapshot;
pub mod stopwatch;

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use crate::io::intake::stats::IntakeStats;
use crate::io::nats::client::health::Health;
use crate::io::nats::cluster::lease::HeldLease;
use crate::io::nats::input::stats::InputStats;
use crate::io::nats::output::stats::OutputStats;
use crate::process::notify::stats::NotifyStats;
use crate::process::reload::status::{RuleStatus, TopologyStatus};
use crate::process::telemetry::snapshot::Snapshot;

/// Figures and health of the process.
#[derive(Debug, Default)]
pub struct Telemetry {
    snapshot: Mutex<Snapshot>,
    /// Of the input.
    pub input: Arc<InputStats>,
    /// Of the output.
    pub output: Arc<OutputStats>,
    /// Time spent in publishing, nanoseconds.
    pub publishing_ns: AtomicU64,
    /// Whether the process is connected to NATS.
    pub connected: AtomicBool,
    /// Whether the process is stopping.
    pub stopping: AtomicBool,
    role: Mutex<Role>,
    /// Checkpoints stored.
    pub checkpoints: AtomicU64,
    /// Checkpoints that could not be stored.
    pub checkpoint_failures: AtomicU64,
    /// Bytes of the last one that a restart has to read.
    pub checkpoint_bytes: AtomicU64,
    /// Bytes written for all of them.
    pub checkpoint_written_bytes: AtomicU64,
    /// Processor time spent in writing them, nanoseconds. Taking them is a stage.
    pub checkpoint_cpu_ns: AtomicU64,
    /// When the last one was stored, by [`stopwatch::monotonic_ns`]; 0 before the first.
    pub checkpoint_at_ns: AtomicU64,
    /// Whether checkpoints can be stored.
    pub checkpoint_health: Health,
    /// Of rules and their files.
    pub rules: Arc<RuleStatus>,
    /// Of the topology's file and bucket.
    pub topology: Arc<TopologyStatus>,
    /// Of the intake.
    pub intake: Arc<IntakeStats>,
    /// Of receivers.
    pub receivers: Arc<NotifyStats>,
}

/// What the process does.
#[derive(Clone, Default)]
pub enum Role {
    /// It starts.
    #[default]
    Starting,
    /// It waits, for this reason.
    Waiting(String),
    /// It does the work: where there is a lease, as long as it holds it.
    Active(Option<HeldLease>),
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Starting => "starting",
            Role::Waiting(why) => why,
            Role::Active(_) => "active",
        })
    }
}

impl Telemetry {
    /// Sets what the process does.
    pub fn set_role(&self, role: Role) {
        *self.role.lock().unwrap_or_else(PoisonError::into_inner) = role;
    }

    /// What the process does.
    pub fn role(&self) -> Role {
        self.role.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the snapshot.
    pub fn publish(&self, snapshot: Snapshot) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// The latest snapshot.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
