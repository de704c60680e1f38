//! What happens when: the demo's outages, as data.
//!
//! Owns: the script. A runaway vacuum on the host of production's postgres takes chat and sign-in down, all the way up to the
//! browsers; meanwhile a payment provider fails for reasons of its own; staging has a rough deploy; development, a load test.
//! Never: healthy levels (`baseline`, `usage`) and the usual noise (`noise`).

use crate::demo::effects::{Announcement, Effect, EffectWindow, LogLine, LogTraffic, Signal};
use crate::demo::topology::{DEVELOPMENT, PRODUCTION, STAGING};

const MINUTE_S: i64 = 60;

/// The vacuum saturates the disk of prod-node-5, until somebody cancels it.
const VACUUM_S: i64 = 17 * MINUTE_S;
const VACUUM_CANCELLED_S: i64 = 31 * MINUTE_S;
/// The payment provider's own trouble.
const PROVIDER_S: i64 = 24 * MINUTE_S;
const PROVIDER_BACK_S: i64 = 38 * MINUTE_S;
const STAGING_DEPLOY_S: i64 = 20 * MINUTE_S;

/// Of the vacuum's outage: begins and ends so long after it, as failures travel from the disk up to the browsers.
const fn vacuum(begins_after_s: i64, rise_s: i64, ends_after_s: i64, fall_s: i64) -> EffectWindow {
    EffectWindow { from_s: VACUUM_S + begins_after_s, rise_s, until_s: VACUUM_CANCELLED_S + ends_after_s, fall_s }
}

const fn provider(begins_after_s: i64, rise_s: i64, ends_after_s: i64, fall_s: i64) -> EffectWindow {
    EffectWindow { from_s: PROVIDER_S + begins_after_s, rise_s, until_s: PROVIDER_BACK_S + ends_after_s, fall_s }
}

const DISK: EffectWindow = vacuum(0, 10, 0, 20);
const DATABASE: EffectWindow = vacuum(5, 25, 5, 25);
const BACK_ENDS: EffectWindow = vacuum(45, 15, 15, 30);
const GATEWAY: EffectWindow = vacuum(60, 15, 20, 35);
const CLIENTS: EffectWindow = vacuum(75, 20, 30, 45);

const PROVIDER: EffectWindow = provider(0, 20, 0, 30);
const PAYMENT: EffectWindow = provider(20, 20, 10, 40);

const fn in_production(entity: &'static str, signal: Signal, low: f64, high: f64, window: EffectWindow) -> Effect {
    Effect { env: PRODUCTION, entity, signal, low, high, window }
}

const LOAD_TEST: EffectWindow = EffectWindow { from_s: 10 * MINUTE_S, rise_s: 20, until_s: 24 * MINUTE_S, fall_s: 30 };
const AFTER_STAGING_DEPLOY: EffectWindow =
    EffectWindow { from_s: STAGING_DEPLOY_S + 5, rise_s: 1, until_s: STAGING_DEPLOY_S + 95, fall_s: 1 };

pub(crate) const EFFECTS: &[Effect] = &[
    // The vacuum, from its disk upwards.
    in_production("prod-node-5", Signal::DiskIoPercent, 97.0, 100.0, DISK),
    in_production("prod-node-5", Signal::CpuPercent, 50.0, 62.0, DISK),
    in_production("postgres", Signal::QueryMs, 900.0, 2500.0, DATABASE),
    in_production("postgres", Signal::ReplicationLagS, 45.0, 90.0, vacuum(30, 90, 10, 60)),
    in_production("postgres", Signal::ConnectionsPercent, 98.0, 100.0, vacuum(10, 30, 10, 40)),
    in_production("auth", Signal::RequestMs, 3500.0, 7500.0, BACK_ENDS),
    in_production("auth", Signal::ServerErrorShare, 0.60, 0.75, BACK_ENDS),
    in_production("auth", Signal::SignupFactor, 0.0, 0.01, BACK_ENDS),
    in_production("auth", Signal::LoginFactor, 0.2, 0.35, BACK_ENDS),
    in_production("chat", Signal::RequestMs, 3500.0, 7500.0, BACK_ENDS),
    in_production("chat", Signal::ServerErrorShare, 0.60, 0.75, BACK_ENDS),
    in_production("chat", Signal::ConversationFactor, 0.0, 0.006, BACK_ENDS),
    in_production("chat", Signal::FeatureFactor, 0.15, 0.25, BACK_ENDS),
    // Healthy, only less asked for: conversations that were open go on.
    in_production("agent-orchestrator", Signal::TrafficFactor, 0.60, 0.70, BACK_ENDS),
    in_production("llm-provider", Signal::TrafficFactor, 0.60, 0.70, BACK_ENDS),
    in_production("gateway", Signal::RequestMs, 3000.0, 6500.0, GATEWAY),
    in_production("gateway", Signal::ServerErrorShare, 0.56, 0.65, GATEWAY),
    in_production("web-client", Signal::PageLoadMs, 6000.0, 12000.0, CLIENTS),
    in_production("web-client", Signal::InteractionMs, 500.0, 1100.0, CLIENTS),
    in_production("web-client", Signal::JsErrorShare, 0.32, 0.45, CLIENTS),
    in_production("mobile-app", Signal::PageLoadMs, 6500.0, 13000.0, CLIENTS),
    in_production("mobile-app", Signal::InteractionMs, 500.0, 1200.0, CLIENTS),
    in_production("mobile-app", Signal::JsErrorShare, 0.28, 0.40, CLIENTS),
    // The payment provider. Payments are few, so that the gateway's own share hardly moves.
    in_production("payment-provider", Signal::RequestMs, 3500.0, 6500.0, PROVIDER),
    in_production("payment-provider", Signal::ServerErrorShare, 0.77, 0.83, PROVIDER),
    in_production("payment", Signal::RequestMs, 4000.0, 8000.0, PAYMENT),
    in_production("payment", Signal::ServerErrorShare, 0.57, 0.70, PAYMENT),
    in_production("payment", Signal::CheckoutCompletedShare, 0.02, 0.10, PAYMENT),
    in_production("gateway", Signal::ServerErrorShare, 0.018, 0.024, PAYMENT),
    // Elsewhere.
    Effect {
        env: STAGING,
        entity: "chat",
        signal: Signal::ServerErrorShare,
        low: 0.14,
        high: 0.16,
        window: AFTER_STAGING_DEPLOY,
    },
    Effect { env: DEVELOPMENT, entity: "dev-node-1", signal: Signal::CpuPercent, low: 85.0, high: 95.0, window: LOAD_TEST },
    Effect { env: DEVELOPMENT, entity: "vector-store", signal: Signal::QueryMs, low: 30.0, high: 60.0, window: LOAD_TEST },
];

const POOL_EXHAUSTED: &str = "connection pool exhausted: timed out waiting for connection to postgres";

const fn log_traffic(
    service: &'static str,
    severity: &'static str,
    body: &'static str,
    lines_per_10_s: f64,
    window: EffectWindow,
) -> LogTraffic {
    LogTraffic { env: PRODUCTION, service, severity, body, lines_per_10_s, window }
}

pub(crate) const LOG_TRAFFIC: &[LogTraffic] = &[
    log_traffic("chat", "ERROR", POOL_EXHAUSTED, 22.0, BACK_ENDS),
    log_traffic("auth", "ERROR", POOL_EXHAUSTED, 16.0, BACK_ENDS),
    log_traffic("gateway", "WARN", "upstream chat answered 500", 3.0, GATEWAY),
    log_traffic("gateway", "WARN", "upstream auth answered 500", 2.0, GATEWAY),
    log_traffic("postgres", "WARN", "all connection slots are taken: too many clients already", 5.0, vacuum(40, 10, 10, 20)),
    log_traffic("payment", "ERROR", "payment-provider: 503 upstream", 6.0, PAYMENT),
    LogTraffic {
        env: STAGING,
        service: "chat",
        severity: "WARN",
        body: "session cache is cold, reading through",
        lines_per_10_s: 3.0,
        window: AFTER_STAGING_DEPLOY,
    },
];

const fn postgres_logs(at_s: i64, body: &'static str) -> LogLine {
    LogLine { env: PRODUCTION, service: "postgres", severity: "INFO", body, at_s }
}

pub(crate) const LOG_LINES: &[LogLine] = &[
    postgres_logs(VACUUM_S - 4, "automatic aggressive vacuum to prevent wraparound of table talkstudio.public.messages"),
    postgres_logs(VACUUM_CANCELLED_S - 2, "canceling autovacuum task: table talkstudio.public.messages"),
];

/// What others noticed of the same outages, later than squelch could.
pub(crate) const ANNOUNCEMENTS: &[Announcement] = &[
    Announcement {
        env: PRODUCTION,
        service: "web-client",
        name: "PingdomDown",
        severity: "critical",
        origin: "pingdom",
        summary: "app.talkstudio.example is down from 3 of 4 regions",
        firing_at_s: VACUUM_S + 165,
        resolved_at_s: Some(VACUUM_CANCELLED_S + 110),
    },
    Announcement {
        env: PRODUCTION,
        service: "mobile-app",
        name: "ApdexLow",
        severity: "warning",
        origin: "new-relic",
        summary: "Apdex of the mobile app is below 0.5",
        firing_at_s: VACUUM_S + 220,
        resolved_at_s: Some(VACUUM_CANCELLED_S + 150),
    },
    Announcement {
        env: STAGING,
        service: "chat",
        name: "DeployFinished",
        severity: "info",
        origin: "ci",
        summary: "chat 2026.3.14-1 is out on staging",
        firing_at_s: STAGING_DEPLOY_S,
        resolved_at_s: Some(STAGING_DEPLOY_S + 5 * MINUTE_S),
    },
];
