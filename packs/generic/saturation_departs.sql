/*---
rule: saturation_departs
severity: warning
window: 1m
for: 1m
keep_firing_for: 3m
deviation: { over: 1d, settle: 1h, min_history: 30, score: 8, floor: 50%, floor_value: 5 }
entity: service
summary: "{{ service }}: {{ resource }} at {{ value | round | int }}, usually {{ expected | round | int }} ({{ score | round | int }} deviations)"
description: >-
  Work that waits for a resource of a service, highest of a minute, far from what is usual for it.
runbook: https://runbooks.example.com/saturation-departs
---*/
-- USE: saturation. What waits comes in bursts even on a good day: half of the usual, or five of it, are never more than one
-- deviation.
SELECT env, service, name AS resource, max(value) AS value
FROM metrics
WHERE name IN ('http_in_flight', 'db_connections_percent') AND service IS NOT NULL
GROUP BY env, service, name
