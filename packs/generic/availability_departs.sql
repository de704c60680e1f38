/*---
rule: availability_departs
severity: critical
window: 3m
every: 1m
keep_firing_for: 3m
deviation: { over: 12h, settle: 30m, min_history: 10, score: 12, method: tail, direction: down, floor: 0%, floor_value: 0.005 }
entity: service
summary: "{{ service }}: {{ (value * 100) | round(1) }}% of its work succeeds, usually {{ (expected * 100) | round(1) }}% ({{ score | round | int }} deviations)"
description: >-
  The share of good work or time of a service: median of three minutes, far below what is usual.
runbook: https://runbooks.example.com/availability-departs
---*/
-- What users get. The floor: half a point of a hundred is never more than one deviation.
SELECT env, service, name AS view, p50(value) AS value
FROM signals
WHERE role = 'availability' AND service IS NOT NULL
GROUP BY env, service, name
