/*---
rule: resource_errors_depart
severity: warning
window: 3m
every: 1m
keep_firing_for: 3m
deviation: { over: 12h, settle: 30m, min_history: 10, score: 12, method: tail, floor: 10%, floor_value: 2 }
entity: host
summary: "{{ host }}: {{ value | round | int }} errors of {{ resource }} in three minutes, usually {{ expected | round | int }} ({{ score | round | int }} deviations)"
description: >-
  Errors of a resource of a host in three minutes, far from what is usual for it.
runbook: https://runbooks.example.com/resource-errors-depart
---*/
-- USE: errors. The floors: a tenth of the usual, or two errors, are never more than one deviation.
SELECT env, host, resource, increase(value) AS value
FROM signals
WHERE role = 'errors' AND temporality <> 'gauge' AND resource IS NOT NULL AND host IS NOT NULL
GROUP BY env, host, resource
