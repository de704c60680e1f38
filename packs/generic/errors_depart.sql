/*---
rule: errors_depart
severity: critical
window: 3m
every: 1m
keep_firing_for: 3m
deviation: { over: 12h, settle: 30m, min_history: 10, score: 12, method: tail, floor: 10%, floor_value: 0.005 }
entity: service
summary: "{{ service }}: {{ (value * 100) | round(1) }}% of its work fails, usually {{ (expected * 100) | round(1) }}% ({{ score | round | int }} deviations)"
description: >-
  The share of work that failed within three minutes, far from what is usual for this service; at least 20 pieces of work.
runbook: https://runbooks.example.com/errors-depart
---*/
-- RED: errors. The floors: a tenth of the usual share, or one piece of work of two hundred, are never more than one deviation. 20: of less work,
-- one failure is a large share. Logs do not count here: a failure writes many lines or none.
SELECT env, service,
  coalesce(increase(value) FILTER (WHERE role = 'errors'), 0) / increase(value) FILTER (WHERE role = 'traffic') AS value
FROM signals
WHERE role IN ('errors', 'traffic') AND temporality <> 'gauge' AND resource IS NULL AND service IS NOT NULL AND name <> 'log'
GROUP BY env, service
HAVING increase(value) FILTER (WHERE role = 'traffic') >= 20
