//! The usual noise: a log disk that flaps around its limit, finished deploys, stray errors in logs, mistyped passwords.
//!
//! Owns: everything that nobody should be woken for, and the emission of log lines, scripted ones too.

use crate::demo::effects::{Announcement, Signal};
use crate::demo::event_writer::EventSource;
use crate::demo::rng::Rng;
use crate::demo::sampler::SamplePoint;
use crate::demo::script::{LOG_LINES, LOG_TRAFFIC};
use crate::demo::topology::{DEVELOPMENT, PRODUCTION, hosts_of};

pub(crate) const FLAPPING_HOST: &str = "prod-node-7";
const MISTYPED_PASSWORDS: f64 = 0.35;

/// Used space of the flapping disk on either side of 90 %; it follows the line of the rule that watches it.
const BELOW_PERCENT: (f64, f64) = (88.9, 89.5);
const ABOVE_PERCENT: (f64, f64) = (90.6, 91.5);

/// Log rotation deletes and logs fill: used space changes sides every one to three minutes.
pub(crate) struct FlappingDisk {
    is_high: bool,
    flips_at_s: i64,
}

impl FlappingDisk {
    pub(crate) fn new() -> Self {
        Self { is_high: false, flips_at_s: 40 }
    }

    fn used_percent(&mut self, at_s: i64, rng: &mut Rng) -> f64 {
        if at_s >= self.flips_at_s {
            self.is_high = !self.is_high;
            self.flips_at_s = at_s + rng.between_whole(60, 180);
        }
        let (low, high) = if self.is_high { ABOVE_PERCENT } else { BELOW_PERCENT };
        rng.between(low, high)
    }
}

/// A service, what it says all day, and what it complains of now and then.
const VOICES: &[(&str, &str, &str)] = &[
    ("gateway", "routed request", "client closed connection before the response was sent"),
    ("auth", "session refreshed", "could not parse user agent"),
    ("chat", "message stored", "message was longer than the limit and has been refused"),
    ("payment", "payment recorded", "invoice address is incomplete"),
    ("agent-orchestrator", "agent turn finished", "tool call returned malformed JSON, asked again"),
    ("postgres", "checkpoint complete", "duplicate key value violates a unique constraint"),
    ("ledger-db", "checkpoint complete", "could not serialize access, transaction was rolled back"),
    ("vector-store", "segment merged", "segment is empty, skipped"),
    ("log-collector", "file rotated", "line is not UTF-8, skipped"),
];

pub(crate) fn sample(point: &mut SamplePoint<'_>, disk: &mut FlappingDisk) {
    if point.env.name == PRODUCTION {
        let used = disk.used_percent(point.at_s, point.rng);
        let source = EventSource { service: None, host: Some(FLAPPING_HOST) };
        point.metric("disk_used_percent", used, source, &[("mount", "/var/log")]);
        mistype_passwords(point);
    }
    for &(service, usual, complaint) in VOICES {
        let lines = point.env.logs_per_sample * point.level(service, Signal::TrafficFactor, 1.0);
        write_lines(point, service, "INFO", usual, lines);
        write_lines(point, service, "ERROR", complaint, point.env.stray_errors_per_sample);
    }
    for traffic in LOG_TRAFFIC.iter().filter(|traffic| traffic.env == point.env.name) {
        let lines = traffic.lines_per_10_s * traffic.window.strength(point.at_s);
        write_lines(point, traffic.service, traffic.severity, traffic.body, lines);
    }
    let now = point.at_s..point.at_s + point.env.sampled_every_s;
    for line in LOG_LINES.iter().filter(|line| line.env == point.env.name && now.contains(&line.at_s)) {
        write_lines(point, line.service, line.severity, line.body, 1.0);
    }
}

fn write_lines(point: &mut SamplePoint<'_>, service: &'static str, severity: &str, body: &str, lines: f64) {
    let replicas = hosts_of(point.env.name, service);
    for _ in 0..point.rng.whole(lines) as usize {
        let host = point.rng.pick(&replicas).copied();
        point.log(severity, body, EventSource { service: Some(service), host });
    }
}

fn mistype_passwords(point: &mut SamplePoint<'_>) {
    if point.rng.chance(MISTYPED_PASSWORDS) {
        let address = crate::demo::usage::address(point.rng);
        let source = EventSource { service: Some("auth"), host: None };
        point.metric("login_attempts", 1.0, source, &[("outcome", "failed"), ("source", &address)]);
    }
}

/// Other systems' news that has nothing to do with any outage.
pub(crate) const ANNOUNCEMENTS: &[Announcement] = &[
    Announcement {
        env: DEVELOPMENT,
        service: "gateway",
        name: "DeployFinished",
        severity: "info",
        origin: "ci",
        summary: "gateway 2026.3.14-dev is out on development",
        firing_at_s: 3 * 60,
        resolved_at_s: Some(8 * 60),
    },
    Announcement {
        env: PRODUCTION,
        service: "log-collector",
        name: "DeployFinished",
        severity: "info",
        origin: "ci",
        summary: "log-collector 2026.3.13-2 is out on production",
        firing_at_s: 5 * 60,
        resolved_at_s: Some(10 * 60),
    },
    Announcement {
        env: PRODUCTION,
        service: "gateway",
        name: "CertificateExpiresSoon",
        severity: "info",
        origin: "cert-manager",
        summary: "the certificate of api.talkstudio.example expires in 20 days",
        firing_at_s: 8 * 60,
        resolved_at_s: None,
    },
];
