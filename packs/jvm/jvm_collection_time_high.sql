/*---
rule: jvm_collection_time_high
severity: warning
window: 5m
every: 1m
for: 5m
keep_firing_for: 5m
entity: host
summary: "{{ host }} spends {{ value | round | int }}% of its time in garbage collection"
description: "Share of the time in pauses for garbage collection over 5 minutes, at or above 10% for 5 minutes."
runbook: https://runbooks.example.com/jvm-collection-time-high
---*/
-- Names of Micrometer. A tenth of the time is felt in every latency.
SELECT env, host, 100 * rate(value) AS value
FROM metrics
WHERE name = 'jvm_gc_pause_seconds_sum' AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 10
