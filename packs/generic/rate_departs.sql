/*---
rule: rate_departs
severity: info
window: 1m
for: 1m
keep_firing_for: 3m
deviation: { over: 1d, settle: 1h, min_history: 30, score: 8, direction: both, floor: 25%, floor_value: 5 }
entity: service
summary: "{{ service }}: {{ value | round | int }} requests a minute, usually {{ expected | round | int }} ({{ score | round | int }} deviations)"
description: >-
  Requests of a minute, far from what is usual for this service: callers stay away, or storm in.
runbook: https://runbooks.example.com/rate-departs
---*/
-- RED: rate. More or fewer requests are no failure by themselves, but say what else was going on: info.
-- The floors: a quarter of the usual rate, or five requests, are never more than one deviation.
SELECT env, service, sum(value) AS value
FROM metrics
WHERE name = 'http_requests' AND service IS NOT NULL
GROUP BY env, service
