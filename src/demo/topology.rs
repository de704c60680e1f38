//! What the demo's systems consist of: the topology that squelch is given, and the lists that the generator walks.
//!
//! Owns: names, places and sizes. Never: what goes wrong with them (`script`, `noise`).

/// One installation of the product. The same services stand in each of them.
pub(crate) struct Environment {
    pub(crate) name: &'static str,
    /// Of production's traffic.
    pub(crate) traffic_share: f64,
    pub(crate) sampled_every_s: i64,
    /// Latency samples a service and sampling.
    pub(crate) samples: usize,
    /// Of each service that logs, in the mean.
    pub(crate) logs_per_sample: f64,
    pub(crate) stray_errors_per_sample: f64,
    /// Whether people other than the team use it: browsers, sign-ups and checkouts are measured there alone.
    pub(crate) has_customers: bool,
}

pub(crate) const PRODUCTION: &str = "production";
pub(crate) const STAGING: &str = "staging";
pub(crate) const DEVELOPMENT: &str = "development";

pub(crate) const ENVIRONMENTS: &[Environment] = &[
    Environment {
        name: PRODUCTION,
        traffic_share: 1.0,
        sampled_every_s: 10,
        samples: 3,
        logs_per_sample: 2.0,
        // One or two a minute.
        stray_errors_per_sample: 0.25,
        has_customers: true,
    },
    Environment {
        name: STAGING,
        traffic_share: 0.2,
        sampled_every_s: 10,
        samples: 2,
        logs_per_sample: 0.7,
        stray_errors_per_sample: 0.06,
        has_customers: false,
    },
    Environment {
        name: DEVELOPMENT,
        traffic_share: 0.04,
        sampled_every_s: 30,
        samples: 1,
        logs_per_sample: 0.4,
        stray_errors_per_sample: 0.0,
        has_customers: false,
    },
];

/// Whatever answers HTTP, with its requests in 10 s of production, its usual latency, and what it says when it fails.
pub(crate) struct HttpService {
    pub(crate) name: &'static str,
    pub(crate) requests: f64,
    pub(crate) latency_ms: f64,
    pub(crate) failure_code: &'static str,
}

const fn http(name: &'static str, requests: f64, latency_ms: f64, failure_code: &'static str) -> HttpService {
    HttpService { name, requests, latency_ms, failure_code }
}

pub(crate) const HTTP_SERVICES: &[HttpService] = &[
    http("gateway", 200.0, 95.0, "502"),
    http("auth", 60.0, 45.0, "500"),
    http("chat", 90.0, 120.0, "500"),
    http("payment", 12.0, 180.0, "502"),
    http("agent-orchestrator", 60.0, 210.0, "500"),
    // Both measured at our edge, by the calls that leave it.
    http("llm-provider", 60.0, 240.0, "503"),
    http("payment-provider", 12.0, 150.0, "503"),
];

pub(crate) struct Database {
    pub(crate) name: &'static str,
    pub(crate) query_ms: f64,
    pub(crate) connections_percent: f64,
    pub(crate) is_replicated: bool,
}

#[rustfmt::skip]
pub(crate) const DATABASES: &[Database] = &[
    Database { name: "postgres", query_ms: 6.0, connections_percent: 38.0, is_replicated: true },
    Database { name: "ledger-db", query_ms: 4.0, connections_percent: 18.0, is_replicated: true },
    Database { name: "redis", query_ms: 0.6, connections_percent: 15.0, is_replicated: false },
    Database { name: "vector-store", query_ms: 14.0, connections_percent: 22.0, is_replicated: false },
];

/// Name, environment, usual CPU and memory in percent.
pub(crate) const HOSTS: &[(&str, &str, f64, f64)] = &[
    ("prod-node-1", PRODUCTION, 24.0, 41.0),
    ("prod-node-2", PRODUCTION, 27.0, 46.0),
    ("prod-node-3", PRODUCTION, 31.0, 52.0),
    ("prod-node-4", PRODUCTION, 34.0, 57.0),
    ("prod-node-5", PRODUCTION, 29.0, 63.0),
    ("prod-node-6", PRODUCTION, 22.0, 66.0),
    ("prod-node-7", PRODUCTION, 14.0, 33.0),
    ("prod-node-8", PRODUCTION, 18.0, 38.0),
    ("stg-node-1", STAGING, 16.0, 44.0),
    ("stg-node-2", STAGING, 13.0, 48.0),
    ("dev-node-1", DEVELOPMENT, 17.0, 55.0),
];

/// Service, and the hosts of its replicas in all environments.
const PLACES: &[(&str, &[&str])] = &[
    ("gateway", &["prod-node-1", "prod-node-2", "stg-node-1", "dev-node-1"]),
    ("auth", &["prod-node-2", "prod-node-3", "stg-node-1", "dev-node-1"]),
    ("chat", &["prod-node-3", "prod-node-4", "stg-node-1", "dev-node-1"]),
    ("agent-orchestrator", &["prod-node-4", "stg-node-1", "dev-node-1"]),
    ("postgres", &["prod-node-5", "stg-node-2", "dev-node-1"]),
    ("redis", &["prod-node-6", "stg-node-2", "dev-node-1"]),
    ("vector-store", &["prod-node-6", "stg-node-2", "dev-node-1"]),
    ("log-collector", &["prod-node-7", "stg-node-2", "dev-node-1"]),
    ("payment", &["prod-node-8", "stg-node-1", "dev-node-1"]),
    ("ledger-db", &["prod-node-8", "stg-node-2", "dev-node-1"]),
];

/// The hosts of one environment that a service runs on; none for what runs elsewhere (clients, other companies).
pub(crate) fn hosts_of(env: &str, service: &str) -> Vec<&'static str> {
    let everywhere = PLACES.iter().filter(|(name, _)| *name == service).flat_map(|(_, hosts)| *hosts);
    let here = |host: &&str| HOSTS.iter().any(|(name, of, ..)| name == host && *of == env);
    everywhere.copied().filter(here).collect()
}

/// The graph of dependencies: `from` needs `to`.
pub(crate) const TOPOLOGY_YAML: &str = include_str!("topology.yaml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graph_and_the_lists_agree() {
        let places = PLACES.iter().flat_map(|(service, hosts)| hosts.iter().map(move |host| (service, host)));
        let mut runs_on = 0;
        for (service, host) in places {
            let edge = format!("{{ from: {service}, to: {host}, kind: runs_on }}");
            assert!(TOPOLOGY_YAML.contains(&edge), "missing: {edge}");
            runs_on += 1;
        }
        assert_eq!(TOPOLOGY_YAML.matches("kind: runs_on").count(), runs_on);

        let services = HTTP_SERVICES.iter().map(|it| it.name).chain(DATABASES.iter().map(|it| it.name));
        for name in services {
            assert!(TOPOLOGY_YAML.contains(&format!("{{ name: {name}, kind: ")), "no node: {name}");
        }
        for (host, env, ..) in HOSTS {
            assert!(TOPOLOGY_YAML.contains(&format!("{{ name: {host}, kind: host, env: {env} }}")), "no node: {host}");
        }
    }
}
