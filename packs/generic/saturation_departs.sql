/*---
rule: saturation_departs
severity: warning
window: 3m
every: 1m
keep_firing_for: 3m
deviation: { over: 12h, settle: 30m, min_history: 10, score: 12, method: tail, floor: 25%, floor_value: 5 }
entity: service
summary: "{{ service }}: {{ resource }} at {{ value | round(1) }}, usually {{ expected | round(1) }} ({{ score | round | int }} deviations)"
description: >-
  Work that waits for a service: median of three minutes, far above what is usual for it.
runbook: https://runbooks.example.com/saturation-departs
---*/
-- USE: saturation. What waits comes in bursts even on a good day: a quarter of the usual, or five of it, are never more than one deviation.
SELECT env, service, coalesce(resource, name) AS resource, name AS view, p50(value) AS value
FROM signals
WHERE role = 'saturation' AND temporality = 'gauge' AND service IS NOT NULL
GROUP BY env, service, coalesce(resource, name), name
