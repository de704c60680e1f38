/*---
rule: duration_departs
severity: warning
window: 1m
for: 1m
keep_firing_for: 3m
deviation: { over: 1d, settle: 1h, min_history: 30, score: 8, floor: 25%, floor_value: 5 }
entity: service
summary: "{{ service }}: p95 latency {{ value | round | int }} ms, usually {{ expected | round | int }} ms ({{ score | round | int }} deviations)"
description: >-
  95th percentile of request latency over a minute, far from what is usual for this service; at least 10 samples.
runbook: https://runbooks.example.com/duration-departs
---*/
-- RED: duration, as the service measures itself. The floors: a quarter of the usual latency, or 5 ms, are never more than one
-- deviation. 10 samples: of fewer, p95 is the slowest of all.
SELECT env, service, p95(value) AS value
FROM metrics
WHERE name = 'http_request_ms' AND service IS NOT NULL
GROUP BY env, service
HAVING count(*) >= 10
