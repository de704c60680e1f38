//! Metrics in the Prometheus text format. prometheus-client writes OpenMetrics, where the type of a counter is declared without
//! `_total`, and Prometheus's own tools then find neither type nor help. This rewrites those lines.

use std::collections::BTreeSet;

use prometheus_client::registry::Registry;

/// All metrics of the registry.
pub fn render(registry: &Registry) -> String {
    let mut open_metrics = String::new();
    match prometheus_client::encoding::text::encode_registry(&mut open_metrics, registry) {
        Ok(()) => with_counter_suffix(&open_metrics),
        Err(error) => format!("# {error}\n"),
    }
}

fn with_counter_suffix(open_metrics: &str) -> String {
    let counter = |line: &'_ str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(String::from);
    let counters: BTreeSet<String> = open_metrics.lines().filter_map(counter).collect();
    let mut text = String::with_capacity(open_metrics.len() + open_metrics.len() / 8);
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name), Some(rest)) if counters.contains(name) => {
                text.extend(["# ", what, " ", name, "_total ", rest, "\n"]);
            }
            _ => text.extend([line, "\n"]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::with_counter_suffix;

    #[test]
    fn counters_are_declared_as_they_are_named() {
        let open_metrics = "# HELP a Some # TYPE a counter.\n# TYPE a counter\na_total{of=\"# TYPE a counter\"} 1\n\
            # HELP b Others.\n# TYPE b gauge\nb 2\n";
        let text = "# HELP a_total Some # TYPE a counter.\n# TYPE a_total counter\na_total{of=\"# TYPE a counter\"} 1\n\
            # HELP b Others.\n# TYPE b gauge\nb 2\n";
        assert_eq!(with_counter_suffix(open_metrics), text);
    }
}
