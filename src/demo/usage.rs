//! What people and agents do with the product: pages, conversations, agents' calls, sign-ups, sign-ins, checkouts.
//!
//! Owns: clients', agents' and business metrics and their usual levels. Rates are those of 10 s of a night in production.

use crate::demo::effects::Signal;
use crate::demo::event_writer::Source;
use crate::demo::rng::Rng;
use crate::demo::sampler::Moment;

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

pub(crate) fn sample(moment: &mut Moment<'_>) {
    sample_agents(moment);
    if moment.env.has_customers {
        for client in CLIENTS {
            sample_client(moment, client);
        }
        sample_business(moment);
    }
}

/// An address of those set aside for documentation (RFC 5737).
pub(crate) fn address(rng: &mut Rng) -> String {
    let network = if rng.chance(0.5) { "203.0.113" } else { "198.51.100" };
    format!("{network}.{}", rng.between_whole(1, 254))
}

fn service(name: &'static str) -> Source {
    Source { service: Some(name), host: None }
}

fn sample_client(moment: &mut Moment<'_>, &(client, page_views, load_ms, reaction_ms): &(&'static str, f64, f64, f64)) {
    let source = service(client);
    let views = moment.count(client, Signal::TrafficFactor, page_views);
    moment.metric("page_views", views, source, &[]);
    let error_share = moment.level(client, Signal::JsErrorShare, JS_ERROR_SHARE);
    let errors = moment.rng.whole(views * error_share);
    moment.metric("js_errors", errors, source, &[]);
    for _ in 0..moment.env.samples {
        let page_load_ms = moment.latency_ms(client, Signal::PageLoadMs, load_ms);
        moment.metric("page_load_ms", page_load_ms, source, &[]);
        let interaction_ms = moment.latency_ms(client, Signal::InteractionMs, reaction_ms);
        moment.metric("ui_interaction_ms", interaction_ms, source, &[]);
    }
}

fn sample_agents(moment: &mut Moment<'_>) {
    let name = "agent-orchestrator";
    let source = service(name);
    let calls = moment.count(name, Signal::TrafficFactor, AGENT_CALLS);
    let stray = if AGENT_CALLS * moment.env.traffic_share >= AGENT_FAILURES_FROM_CALLS { 1.0 } else { 0.0 };
    let errors = moment.rng.whole(calls * 0.005 * stray);
    let timeouts = moment.rng.whole(calls * 0.003 * stray);
    for (outcome, count) in [("ok", (calls - errors - timeouts).max(0.0)), ("error", errors), ("timeout", timeouts)] {
        if count > 0.0 {
            moment.metric("agent_calls", count, source, &[("outcome", outcome)]);
        }
    }
    for _ in 0..moment.env.samples {
        let response_ms = AGENT_RESPONSE_MS * moment.rng.between(0.6, 1.7);
        moment.metric("agent_response_ms", response_ms, source, &[]);
    }
    for (model, tokens_per_call) in [("large", 240.0), ("small", 420.0)] {
        let tokens = (calls * tokens_per_call * moment.rng.between(0.9, 1.1)).round();
        moment.metric("llm_tokens", tokens, source, &[("model", model)]);
    }
    let handoffs = moment.count(name, Signal::TrafficFactor, HANDOFFS);
    if handoffs > 0.0 {
        moment.metric("agent_handoffs", handoffs, source, &[("outcome", "ok")]);
    }
    if moment.env.has_customers && moment.rng.chance(0.06) {
        moment.metric("agent_handoffs", 1.0, source, &[("outcome", "failed")]);
    }
    if moment.env.has_customers && moment.rng.chance(0.03) {
        moment.metric("guardrail_violations", 1.0, source, &[("policy", "off_topic")]);
    }
}

fn sample_business(moment: &mut Moment<'_>) {
    let signups = moment.count("auth", Signal::SignupFactor, SIGNUPS);
    moment.metric("signups", signups, service("auth"), &[]);
    let conversations = moment.count("chat", Signal::ConversationFactor, CONVERSATIONS);
    moment.metric("conversations_started", conversations, service("chat"), &[]);
    for &(feature, uses) in FEATURES {
        let uses = moment.count("chat", Signal::FeatureFactor, uses);
        moment.metric("feature_uses", uses, service("chat"), &[("feature", feature)]);
    }

    let logins = moment.count("auth", Signal::LoginFactor, LOGINS);
    for part in [(logins / 2.0).floor(), (logins / 2.0).ceil()] {
        if part > 0.0 {
            let source = address(moment.rng);
            moment.metric("login_attempts", part, service("auth"), &[("outcome", "ok"), ("source", &source)]);
        }
    }

    let started = moment.count("payment", Signal::TrafficFactor, CHECKOUTS);
    moment.metric("checkouts", started, service("payment"), &[("step", "started")]);
    let share = moment.level("payment", Signal::CheckoutCompletedShare, CHECKOUT_COMPLETED_SHARE);
    let completed = moment.rng.whole(started * share);
    moment.metric("checkouts", completed, service("payment"), &[("step", "completed")]);

    // Somebody of support reads a few conversations now and then.
    if moment.rng.chance(0.15) {
        let rows = moment.rng.between_whole(5, 40) as f64;
        let labels = [("dataset", "conversations"), ("actor", "support-console")];
        moment.metric("data_access_rows", rows, service("chat"), &labels);
    }
}
