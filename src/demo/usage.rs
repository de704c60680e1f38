//! What people and agents do with the product: pages, conversations, agents' calls, sign-ups, sign-ins, checkouts.
//!
//! Owns: clients', agents' and business metrics and their usual levels. Rates are those of 10 s of a night in production.

use crate::demo::effects::Signal;
use crate::demo::event_writer::EventSource;
use crate::demo::rng::Rng;
use crate::demo::sampler::SamplePoint;

/// Name, page views, page load and reaction time in ms.
const CLIENTS: &[(&str, f64, f64, f64)] = &[("web-client", 70.0, 760.0, 45.0), ("mobile-app", 50.0, 680.0, 55.0)];
const JS_ERROR_SHARE: f64 = 0.006;

const AGENT_CALLS: f64 = 60.0;
/// Below so many calls one stray failure would be a large share of them.
const AGENT_FAILURES_FROM_CALLS: f64 = 20.0;
const AGENT_RESPONSE_MS: f64 = 1_450.0;
const HANDOFFS: f64 = 5.0;

const SIGNUPS: f64 = 4.0;
const CONVERSATIONS: f64 = 18.0;
const FEATURES: &[(&str, f64)] = &[("voice", 9.0), ("share", 6.0), ("export", 3.0)];
const LOGINS: f64 = 9.0;
const CHECKOUTS: f64 = 5.0;
const CHECKOUT_COMPLETED_SHARE: f64 = 0.86;

pub(crate) fn sample(point: &mut SamplePoint<'_>) {
    sample_agents(point);
    if point.env.has_customers {
        for client in CLIENTS {
            sample_client(point, client);
        }
        sample_business(point);
    }
}

/// An address of those set aside for documentation (RFC 5737).
pub(crate) fn address(rng: &mut Rng) -> String {
    let network = if rng.chance(0.5) { "203.0.113" } else { "198.51.100" };
    format!("{network}.{}", rng.between_whole(1, 254))
}

fn service(name: &'static str) -> EventSource {
    EventSource { service: Some(name), host: None }
}

fn sample_client(point: &mut SamplePoint<'_>, &(client, page_views, load_ms, reaction_ms): &(&'static str, f64, f64, f64)) {
    let source = service(client);
    let views = point.count(client, Signal::TrafficFactor, page_views);
    point.metric("page_views", views, source, &[]);
    let error_share = point.level(client, Signal::JsErrorShare, JS_ERROR_SHARE);
    let errors = point.rng.whole(views * error_share);
    point.metric("js_errors", errors, source, &[]);
    for _ in 0..point.env.samples {
        let page_load_ms = point.latency_ms(client, Signal::PageLoadMs, load_ms);
        point.metric("page_load_ms", page_load_ms, source, &[]);
        let interaction_ms = point.latency_ms(client, Signal::InteractionMs, reaction_ms);
        point.metric("ui_interaction_ms", interaction_ms, source, &[]);
    }
}

fn sample_agents(point: &mut SamplePoint<'_>) {
    let name = "agent-orchestrator";
    let source = service(name);
    let calls = point.count(name, Signal::TrafficFactor, AGENT_CALLS);
    let stray = if AGENT_CALLS * point.env.traffic_share >= AGENT_FAILURES_FROM_CALLS { 1.0 } else { 0.0 };
    let errors = point.rng.whole(calls * 0.005 * stray);
    let timeouts = point.rng.whole(calls * 0.003 * stray);
    for (outcome, count) in [("ok", (calls - errors - timeouts).max(0.0)), ("error", errors), ("timeout", timeouts)] {
        if count > 0.0 {
            point.metric("agent_calls", count, source, &[("outcome", outcome)]);
        }
    }
    for _ in 0..point.env.samples {
        let response_ms = AGENT_RESPONSE_MS * point.rng.between(0.6, 1.7);
        point.metric("agent_response_ms", response_ms, source, &[]);
    }
    for (model, tokens_per_call) in [("large", 240.0), ("small", 420.0)] {
        let tokens = (calls * tokens_per_call * point.rng.between(0.9, 1.1)).round();
        point.metric("llm_tokens", tokens, source, &[("model", model)]);
    }
    let handoffs = point.count(name, Signal::TrafficFactor, HANDOFFS);
    if handoffs > 0.0 {
        point.metric("agent_handoffs", handoffs, source, &[("outcome", "ok")]);
    }
    if point.env.has_customers && point.rng.chance(0.06) {
        point.metric("agent_handoffs", 1.0, source, &[("outcome", "failed")]);
    }
    if point.env.has_customers && point.rng.chance(0.03) {
        point.metric("guardrail_violations", 1.0, source, &[("policy", "off_topic")]);
    }
}

fn sample_business(point: &mut SamplePoint<'_>) {
    let signups = point.count("auth", Signal::SignupFactor, SIGNUPS);
    point.metric("signups", signups, service("auth"), &[]);
    let conversations = point.count("chat", Signal::ConversationFactor, CONVERSATIONS);
    point.metric("conversations_started", conversations, service("chat"), &[]);
    for &(feature, uses) in FEATURES {
        let uses = point.count("chat", Signal::FeatureFactor, uses);
        point.metric("feature_uses", uses, service("chat"), &[("feature", feature)]);
    }

    let logins = point.count("auth", Signal::LoginFactor, LOGINS);
    for part in [(logins / 2.0).floor(), (logins / 2.0).ceil()] {
        if part > 0.0 {
            let source = address(point.rng);
            point.metric("login_attempts", part, service("auth"), &[("outcome", "ok"), ("source", &source)]);
        }
    }

    let started = point.count("payment", Signal::TrafficFactor, CHECKOUTS);
    point.metric("checkouts", started, service("payment"), &[("step", "started")]);
    let share = point.level("payment", Signal::CheckoutCompletedShare, CHECKOUT_COMPLETED_SHARE);
    let completed = point.rng.whole(started * share);
    point.metric("checkouts", completed, service("payment"), &[("step", "completed")]);

    // Somebody of support reads a few conversations now and then.
    if point.rng.chance(0.15) {
        let rows = point.rng.between_whole(5, 40) as f64;
        let labels = [("dataset", "conversations"), ("actor", "support-console")];
        point.metric("data_access_rows", rows, service("chat"), &labels);
    }
}
