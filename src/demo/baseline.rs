//! Healthy machines and services at night: hosts, HTTP services, databases, as their exporters report them.
//!
//! Owns: what is measured of the back end, and its usual levels. What people do with it: `usage`.

use crate::demo::effects::Signal;
use crate::demo::event_writer::Source;
use crate::demo::sampler::Moment;
use crate::demo::topology::{DATABASES, Database, HOSTS, HTTP_SERVICES, HttpService, hosts_of};

/// A service so little used that one stray failure would be a large share of its requests has none, and misses nothing.
const STRAYS_FROM_REQUESTS: f64 = 10.0;
const STRAY_FAILURE_SHARE: f64 = 0.003;
const NOT_FOUND_SHARE: f64 = 0.02;

pub(crate) fn sample(moment: &mut Moment<'_>) {
    for (index, &(host, env, cpu_percent, memory_percent)) in HOSTS.iter().enumerate() {
        if env == moment.env.name {
            sample_host(moment, host, index, cpu_percent, memory_percent);
        }
    }
    for service in HTTP_SERVICES {
        sample_http_service(moment, service);
    }
    for database in DATABASES {
        sample_database(moment, database);
    }
    for pool in ["auth", "chat", "payment"] {
        // The checks behind this number ask whether a process listens, so that it stays whole in every outage of the script.
        let gateway = Source { service: Some("gateway"), host: None };
        moment.metric("lb_healthy_backends_percent", 100.0, gateway, &[("pool", pool)]);
    }
}

fn sample_host(moment: &mut Moment<'_>, host: &'static str, index: usize, cpu_percent: f64, memory_percent: f64) {
    let source = Source { service: None, host: Some(host) };
    let usual = cpu_percent + moment.rng.between(-6.0, 6.0);
    let cpu = moment.level(host, Signal::CpuPercent, usual);
    moment.metric("cpu_percent", cpu, source, &[]);
    let memory = memory_percent + moment.rng.between(-1.5, 1.5);
    moment.metric("memory_percent", memory, source, &[]);

    let usual = moment.rng.between(6.0, 22.0);
    let disk_io = moment.level(host, Signal::DiskIoPercent, usual);
    moment.metric("disk_io_util_percent", disk_io, source, &[("device", "nvme0n1")]);
    let used = 36.0 + 3.0 * index as f64 + moment.rng.between(0.0, 0.2);
    moment.metric("disk_used_percent", used, source, &[("mount", "/")]);
    // prod-node-7's own log file system belongs to `noise`.
    if host != crate::demo::noise::FLAPPING_HOST {
        let used = 28.0 + 2.0 * index as f64 + moment.rng.between(0.0, 0.8);
        moment.metric("disk_used_percent", used, source, &[("mount", "/var/log")]);
    }

    let link = moment.rng.between(7.0, 19.0);
    moment.metric("network_util_percent", link, source, &[("interface", "eth0")]);
    let errors = if moment.rng.chance(0.01) { 1.0 } else { 0.0 };
    moment.metric("network_errors", errors, source, &[("interface", "eth0")]);
}

/// Counts are the load balancer's, over all replicas, and name no host; latency samples name the replica that answered.
fn sample_http_service(moment: &mut Moment<'_>, service: &HttpService) {
    let whole_service = Source { service: Some(service.name), host: None };
    let requests = moment.count(service.name, Signal::TrafficFactor, service.requests);
    let has_strays = service.requests * moment.env.traffic_share >= STRAYS_FROM_REQUESTS;
    let (stray_share, not_found_share) = if has_strays { (STRAY_FAILURE_SHARE, NOT_FOUND_SHARE) } else { (0.0, 0.0) };
    let failed_share = moment.level(service.name, Signal::ServerErrorShare, stray_share);
    let failed = moment.rng.whole(requests * failed_share).min(requests);
    let not_found = moment.rng.whole((requests - failed) * not_found_share).min(requests - failed);
    let codes = [("200", requests - failed - not_found), ("404", not_found), (service.failure_code, failed)];
    for (code, count) in codes {
        if count > 0.0 {
            moment.metric("http_requests", count, whole_service, &[("code", code)]);
        }
    }

    let replicas = hosts_of(moment.env.name, service.name);
    let mut sum_ms = 0.0;
    for _ in 0..moment.env.samples {
        let latency_ms = moment.latency_ms(service.name, Signal::RequestMs, service.latency_ms);
        sum_ms += latency_ms;
        let host = moment.rng.pick(&replicas).copied();
        moment.metric("http_request_ms", latency_ms, Source { host, ..whole_service }, &[]);
    }

    // Little's law: in flight = arrivals a second x seconds each.
    let mean_s = sum_ms / moment.env.samples as f64 / 1000.0;
    let arrivals_per_s = requests / moment.env.sampled_every_s as f64;
    let in_flight = moment.rng.whole(arrivals_per_s * mean_s);
    moment.metric("http_in_flight", in_flight, whole_service, &[]);
}

fn sample_database(moment: &mut Moment<'_>, database: &Database) {
    let replicas = hosts_of(moment.env.name, database.name);
    let source = Source { service: Some(database.name), host: replicas.first().copied() };
    for _ in 0..moment.env.samples {
        let query_ms = moment.latency_ms(database.name, Signal::QueryMs, database.query_ms);
        moment.metric("db_query_ms", query_ms, source, &[]);
    }
    let usual = database.connections_percent + moment.rng.between(-4.0, 4.0);
    let connections = moment.level(database.name, Signal::ConnectionsPercent, usual);
    moment.metric("db_connections_percent", connections, source, &[]);
    if database.is_replicated {
        let usual = moment.rng.between(0.1, 0.6);
        let lag_s = moment.level(database.name, Signal::ReplicationLagS, usual);
        moment.metric("db_replication_lag_s", lag_s, source, &[]);
    }
}
