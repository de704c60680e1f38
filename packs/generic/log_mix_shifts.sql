/*---
rule: log_mix_shifts
severity: warning
window: 1m
for: 1m
keep_firing_for: 3m
deviation: { over: 1d, settle: 1h, min_history: 30, score: 8, floor: 25%, floor_value: 0.02 }
entity: service
summary: "{{ service }}: {{ (value * 100) | round(1) }}% of its lines are errors or warnings, usually {{ (expected * 100) | round(1) }}% ({{ score | round | int }} deviations)"
description: >-
  The share of errors and warnings among the lines that a service logs within a minute, far from what is usual for it; at least 20 lines.
runbook: https://runbooks.example.com/log-mix-shifts
---*/
-- Logs: many services log errors while all is well, so the mix says more than any error. The floors: a quarter of the usual share,
-- or two lines of a hundred, are never more than one deviation.
SELECT env, service, count(*) FILTER (WHERE severity IN ('ERROR', 'FATAL', 'CRITICAL', 'WARN', 'WARNING')) * 1.0 / count(*) AS value
FROM logs
WHERE service IS NOT NULL
GROUP BY env, service
HAVING count(*) >= 20
