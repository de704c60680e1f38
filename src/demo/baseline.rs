//! Healthy machines and services at night: hosts, HTTP services, databases, as their exporters report them.
//!
//! Owns: what is measured of the back end, and its usual levels. What people do with it: `usage`.

use crate::demo::effects::Signal;
use crate::demo::event_writer::EventSource;
use crate::demo::sampler::SamplePoint;
use crate::demo::topology::{DATABASES, Database, HOSTS, HTTP_SERVICES, HttpService, hosts_of};

/// A service so little used that one stray failure would be a large share of its requests has none, and misses nothing.
const STRAYS_FROM_REQUESTS: f64 = 10.0;
const STRAY_FAILURE_SHARE: f64 = 0.003;
const NOT_FOUND_SHARE: f64 = 0.02;

pub(crate) fn sample(point: &mut SamplePoint<'_>) {
    for (index, &(host, env, cpu_percent, memory_percent)) in HOSTS.iter().enumerate() {
        if env == point.env.name {
            sample_host(point, host, index, cpu_percent, memory_percent);
        }
    }
    for service in HTTP_SERVICES {
        sample_http_service(point, service);
    }
    for database in DATABASES {
        sample_database(point, database);
    }
    for pool in ["auth", "chat", "payment"] {
        // The checks behind this number ask whether a process listens, so that it stays whole in every outage of the script.
        let gateway = EventSource { service: Some("gateway"), host: None };
        point.metric("lb_healthy_backends_percent", 100.0, gateway, &[("pool", pool)]);
    }
}

fn sample_host(point: &mut SamplePoint<'_>, host: &'static str, index: usize, cpu_percent: f64, memory_percent: f64) {
    let source = EventSource { service: None, host: Some(host) };
    let usual = cpu_percent + point.rng.between(-6.0, 6.0);
    let cpu = point.level(host, Signal::CpuPercent, usual);
    point.metric("cpu_percent", cpu, source, &[]);
    let memory = memory_percent + point.rng.between(-1.5, 1.5);
    point.metric("memory_percent", memory, source, &[]);

    let usual = point.rng.between(6.0, 22.0);
    let disk_io = point.level(host, Signal::DiskIoPercent, usual);
    point.metric("disk_io_util_percent", disk_io, source, &[("device", "nvme0n1")]);
    let used = 36.0 + 3.0 * index as f64 + point.rng.between(0.0, 0.2);
    point.metric("disk_used_percent", used, source, &[("mount", "/")]);
    // prod-node-7's own log file system belongs to `noise`.
    if host != crate::demo::noise::FLAPPING_HOST {
        let used = 28.0 + 2.0 * index as f64 + point.rng.between(0.0, 0.8);
        point.metric("disk_used_percent", used, source, &[("mount", "/var/log")]);
    }

    let link = point.rng.between(7.0, 19.0);
    point.metric("network_util_percent", link, source, &[("interface", "eth0")]);
    let errors = if point.rng.chance(0.01) { 1.0 } else { 0.0 };
    point.metric("network_errors", errors, source, &[("interface", "eth0")]);
}

/// Counts are the load balancer's, over all replicas, and name no host; latency samples name the replica that answered.
fn sample_http_service(point: &mut SamplePoint<'_>, service: &HttpService) {
    let whole_service = EventSource { service: Some(service.name), host: None };
    let requests = point.count(service.name, Signal::TrafficFactor, service.requests);
    let has_strays = service.requests * point.env.traffic_share >= STRAYS_FROM_REQUESTS;
    let (stray_share, not_found_share) = if has_strays { (STRAY_FAILURE_SHARE, NOT_FOUND_SHARE) } else { (0.0, 0.0) };
    let failed_share = point.level(service.name, Signal::ServerErrorShare, stray_share);
    let failed = point.rng.whole(requests * failed_share).min(requests);
    let not_found = point.rng.whole((requests - failed) * not_found_share).min(requests - failed);
    let codes = [("200", requests - failed - not_found), ("404", not_found), (service.failure_code, failed)];
    for (code, count) in codes {
        if count > 0.0 {
            point.metric("http_requests", count, whole_service, &[("code", code)]);
        }
    }

    let replicas = hosts_of(point.env.name, service.name);
    let mut sum_ms = 0.0;
    for _ in 0..point.env.samples {
        let latency_ms = point.latency_ms(service.name, Signal::RequestMs, service.latency_ms);
        sum_ms += latency_ms;
        let host = point.rng.pick(&replicas).copied();
        point.metric("http_request_ms", latency_ms, EventSource { host, ..whole_service }, &[]);
    }

    // Little's law: in flight = arrivals a second x seconds each.
    let mean_s = sum_ms / point.env.samples as f64 / 1000.0;
    let arrivals_per_s = requests / point.env.sampled_every_s as f64;
    let in_flight = point.rng.whole(arrivals_per_s * mean_s);
    point.metric("http_in_flight", in_flight, whole_service, &[]);
}

fn sample_database(point: &mut SamplePoint<'_>, database: &Database) {
    let replicas = hosts_of(point.env.name, database.name);
    let source = EventSource { service: Some(database.name), host: replicas.first().copied() };
    for _ in 0..point.env.samples {
        let query_ms = point.latency_ms(database.name, Signal::QueryMs, database.query_ms);
        point.metric("db_query_ms", query_ms, source, &[]);
    }
    let usual = database.connections_percent + point.rng.between(-4.0, 4.0);
    let connections = point.level(database.name, Signal::ConnectionsPercent, usual);
    point.metric("db_connections_percent", connections, source, &[]);
    if database.is_replicated {
        let usual = point.rng.between(0.1, 0.6);
        let lag_s = point.level(database.name, Signal::ReplicationLagS, usual);
        point.metric("db_replication_lag_s", lag_s, source, &[]);
    }
}
