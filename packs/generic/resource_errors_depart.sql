/*---
rule: resource_errors_depart
severity: warning
window: 1m
for: 1m
keep_firing_for: 3m
deviation: { over: 1d, settle: 1h, min_history: 30, score: 8, floor: 25%, floor_value: 2 }
entity: host
summary: "{{ host }}: {{ value | round | int }} network errors in a minute, usually {{ expected | round | int }} ({{ score | round | int }} deviations)"
description: >-
  Errors of a host's network interfaces in a minute, far from what is usual for it.
runbook: https://runbooks.example.com/resource-errors-depart
---*/
-- USE: errors. The floors: a quarter of the usual, or two errors, are never more than one deviation.
SELECT env, host, sum(value) AS value
FROM metrics
WHERE name = 'network_errors' AND host IS NOT NULL
GROUP BY env, host
