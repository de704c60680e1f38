/*---
rule: utilisation_departs
severity: warning
window: 1m
for: 1m
keep_firing_for: 3m
deviation: { over: 1d, settle: 1h, min_history: 30, score: 8, floor: 25%, floor_value: 5 }
entity: host
summary: "{{ host }}: {{ resource }} at {{ value | round | int }}, usually {{ expected | round | int }} ({{ score | round | int }} deviations)"
description: >-
  Utilisation of a resource of a host, mean of a minute, far from what is usual for it.
runbook: https://runbooks.example.com/utilisation-departs
---*/
-- USE: utilisation. The floors: a quarter of the usual, or five points of a hundred, are never more than one deviation. A disk that
-- fills up does so slowly, and becomes usual on the way: that is what the threshold of host_disk_used is for.
SELECT env, host, name AS resource, avg(value) AS value
FROM metrics
WHERE name IN ('cpu_percent', 'memory_percent', 'disk_io_util_percent', 'network_util_percent') AND host IS NOT NULL
GROUP BY env, host, name
