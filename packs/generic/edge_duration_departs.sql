/*---
rule: edge_duration_departs
severity: warning
window: 1m
for: 1m
keep_firing_for: 3m
deviation: { over: 1d, settle: 1h, min_history: 30, score: 8, floor: 25%, floor_value: 5 }
entity: service
peer: caller
summary: "{{ service }}: {{ caller }} waits {{ value | round | int }} ms for it at p95, usually {{ expected | round | int }} ms ({{ score | round | int }} deviations)"
description: >-
  95th percentile of what a caller waits for this service over a minute, far from what is usual between the two; at least 10 samples.
runbook: https://runbooks.example.com/edge-duration-departs
---*/
-- Edges: how long callers wait, as they measure it. It is the doing of the one that is called, so that is the entity; the caller is
-- the peer, and answers for it where the callee is cleared. Floors as those of duration_departs.
SELECT env, labels['peer'] AS service, service AS caller, p95(value) AS value
FROM metrics
WHERE name = 'http_client_request_ms' AND service IS NOT NULL AND labels['peer'] IS NOT NULL
GROUP BY env, labels['peer'], service
HAVING count(*) >= 10
