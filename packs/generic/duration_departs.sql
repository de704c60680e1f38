/*---
rule: duration_departs
severity: warning
window: 3m
every: 1m
keep_firing_for: 3m
deviation: { over: 12h, settle: 30m, min_history: 10, score: 12, method: tail, floor: 10%, floor_value: 0.005 }
entity: service
summary: "{{ service }}: {{ view }} is {{ (value * 1000) | round | int }} ms, usually {{ (expected * 1000) | round | int }} ms ({{ score | round | int }} deviations)"
description: >-
  Time that a service takes for a piece of work, as it measures itself: median of three minutes, far from what is usual.
runbook: https://runbooks.example.com/duration-departs
---*/
-- RED: duration. Each metric is a view of its own: a median and a p99 have different pasts. The median of three minutes: of samples that come
-- once a minute, two must agree. The floors: a tenth of the usual time, or 5 ms, are never more than one deviation.
SELECT env, service, name AS view, p50(value) AS value
FROM signals
WHERE role = 'duration' AND temporality = 'gauge' AND service IS NOT NULL AND peer IS NULL
GROUP BY env, service, name
