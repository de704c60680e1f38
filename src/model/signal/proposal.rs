//! What a series might be, by the words of its name: a line of a mapping for a person to confirm.

use crate::model::signal::pattern::comparable;

/// Words of names, the first that occurs decides. Durations come before errors: `request_error_duration` is a time.
const WORDS: [(&[&str], &str); 17] = [
    (&["bucket", "_info", "created", "build", "start_time", "scrape_", "go_memstats", "_config"], "none"),
    (&["latency", "duration", "response_time", "elapsed", "rtt", "request_time"], "duration"),
    (&["availab", "success_rate", "success_pct", "uptime_pct"], "availability"),
    (&["error", "fail", "exception", "drop", "timeout", "reject", "5xx", "retrans"], "errors"),
    (&["queue", "pending", "waiting", "backlog", "lag", "in_flight", "inflight", "active_conn", "threads", "pool"], "saturation"),
    (&["cpu"], "utilisation, resource: cpu"),
    (&["mem", "heap", "rss"], "utilisation, resource: memory"),
    (&["disk", "filesystem", "volume", "_fs_"], "utilisation, resource: disk"),
    (&["network", "net_", "_rx", "_tx", "bandwidth"], "utilisation, resource: network"),
    (&["request", "calls", "ops", "hits", "throughput", "qps", "rps", "messages", "queries"], "traffic"),
    (&["_pct", "percent", "utili", "usage"], "utilisation"),
    (&["_seconds", "_ms", "_us", "_ns", "millis", "micros"], "duration"),
    (&["_count", "_total"], "traffic"),
    (&["connections", "sessions", "open_"], "saturation"),
    (&["bytes"], "utilisation"),
    (&["load"], "saturation, resource: cpu"),
    (&["time"], "duration"),
];

/// Endings and the units that they name.
const UNITS: [(&[&str], &str); 7] = [
    (&["_seconds", "_s", "_sec", "_seconds_sum"], "s"),
    (&["_ms", "_millis", "_milliseconds"], "ms"),
    (&["_us", "_micros", "_microseconds"], "us"),
    (&["_ns", "_nanos", "_nanoseconds"], "ns"),
    (&["_pct", "_percent", "_percentage"], "percent"),
    (&["_ratio"], "ratio"),
    (&["_bytes"], "bytes"),
];

/// A line for series of this name; `None` where no word of it says anything.
pub fn propose(name: &str) -> Option<String> {
    let words = comparable(name);
    let (_, role) = WORDS.iter().find(|(any, _)| any.iter().any(|word| words.contains(word)))?;
    let quoted = if name.chars().all(|letter| letter.is_alphanumeric() || "_.-".contains(letter)) {
        name.to_string()
    } else {
        format!("{name:?}")
    };
    let ending = UNITS.iter().find(|(endings, _)| endings.iter().any(|ending| words.ends_with(ending)));
    let unit = match (role.split(',').next(), ending) {
        (Some("none" | "traffic" | "errors" | "saturation"), _) => String::new(),
        (_, Some((_, unit))) => format!(", unit: {unit}"),
        (Some("duration"), None) => ", unit: s".into(),
        (Some("availability"), None) => ", unit: ratio".into(),
        _ => String::new(),
    };
    let counter = (words.ends_with("_total") || words.ends_with("_count") || words.ends_with("_sum")) && *role != "none";
    let kind = if counter { ", kind: counter" } else { "" };
    Some(format!("- {{ match: {{ name: {quoted} }}, role: {role}{unit}{kind} }}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::signal::reader;

    #[test]
    fn a_proposal_is_a_line_that_can_be_read() {
        for (name, part) in [
            ("checkout_latency_ms", "role: duration, unit: ms"),
            ("orders.failed_total", "role: errors, kind: counter"),
            ("front_success_pct", "role: availability, unit: percent"),
            ("mem used / MiB", "role: utilisation, resource: memory"),
            ("kafka_consumer_lag", "role: saturation"),
            ("build_info", "role: none"),
        ] {
            let line = propose(name).unwrap();
            assert!(line.contains(part), "{line}");
            assert!(reader::read(&format!("signals:\n  {line}\n")).is_ok(), "{line}");
        }
        assert_eq!(propose("zzz"), None);
    }
}
