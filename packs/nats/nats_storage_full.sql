/*---
rule: nats_storage_full
severity: warning
window: 5m
every: 1m
for: 5m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: {{ value | round | int }}% of the JetStream storage in use"
description: "Share of the JetStream storage in use, at or above 80% for 5 minutes; critical at 95%."
runbook: https://runbooks.example.com/nats-storage-full
---*/
-- Names of prometheus-nats-exporter. A full store refuses messages. 80% leaves time to add space or to shorten limits.
SELECT env, host,
       100 * last(value) FILTER (WHERE name = 'gnatsd_varz_jetstream_stats_storage')
           / nullif(last(value) FILTER (WHERE name = 'gnatsd_varz_jetstream_config_max_storage'), 0) AS value,
       CASE WHEN last(value) FILTER (WHERE name = 'gnatsd_varz_jetstream_stats_storage')
              >= 0.95 * last(value) FILTER (WHERE name = 'gnatsd_varz_jetstream_config_max_storage') THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name IN ('gnatsd_varz_jetstream_stats_storage', 'gnatsd_varz_jetstream_config_max_storage') AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 80
