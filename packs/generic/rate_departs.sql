/*---
rule: rate_departs
severity: info
window: 3m
every: 1m
keep_firing_for: 3m
deviation: { over: 12h, settle: 30m, min_history: 10, score: 8, direction: both, floor: 10%, floor_value: 5 }
entity: service
summary: "{{ service }}: {{ value | round | int }} requests in three minutes, usually {{ expected | round | int }} ({{ score | round | int }} deviations)"
description: >-
  Requests of three minutes, far from what is usual for this service: callers stay away, or storm in.
runbook: https://runbooks.example.com/rate-departs
---*/
-- RED: rate. More or fewer requests are no failure by themselves, but say what else was going on: info.
-- The floors: a tenth of the usual rate, or five requests, are never more than one deviation. Without
-- `method: tail`: a fall can be no more than ten deviations.
SELECT env, service, increase(value) AS value
FROM signals
WHERE role = 'traffic' AND temporality <> 'gauge' AND service IS NOT NULL AND peer IS NULL
GROUP BY env, service
