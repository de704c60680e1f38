//! The operator's HTTP endpoint: `/metrics` from the telemetry, and whether the process does its work for `/readyz`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::registry::Registry;

use crate::io::http::status::Status;
use crate::io::nats::client::health::Health;
use crate::process::telemetry::metrics::Metrics;
use crate::process::telemetry::{Role, Telemetry, prometheus_text};

/// `/readyz` reports a failure once it has lasted this long: one or two retries are no news.
const FAILING_MIN: Duration = Duration::from_secs(10);

/// The endpoint's view of the telemetry.
#[derive(Clone, Debug)]
pub struct Endpoint(pub Arc<Telemetry>);

impl Status for Endpoint {
    fn metrics(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Metrics(Arc::clone(&self.0))));
        prometheus_text::render(&registry)
    }

    fn ready(&self) -> Result<(), String> {
        if self.0.stopping.load(Ordering::Relaxed) {
            return Err("stopping".into());
        }
        if !self.0.connected.load(Ordering::Relaxed) {
            return Err("no connection to NATS".into());
        }
        match self.0.role() {
            Role::Waiting(why) => return Err(why),
            Role::Active(Some(lease)) if !lease.is_current() => return Err("the lease is not renewed".into()),
            Role::Starting | Role::Active(_) => {}
        }
        let failing = |what: &str, health: &Health| match health.failing_for(FAILING_MIN) {
            Some((lasting, why)) => Err(format!("{what} since {} s: {why}", lasting.as_secs())),
            None => Ok(()),
        };
        failing("cannot store results", &self.0.output.health)?;
        failing("cannot keep a checkpoint", &self.0.checkpoint_health)?;
        failing("cannot read", &self.0.input.health)
    }
}
