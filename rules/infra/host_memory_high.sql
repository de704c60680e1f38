/*---
rule: host_memory_high
severity: warning
window: 2m
every: 30s
for: 10m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: memory at or above 90% for 10 minutes: {{ (value * 10) | int / 10 }}%"
description: >-
  Mean memory use of a host over 2 minutes, at or above 90% for 10 minutes; from then on critical at once at 98%.
runbook: https://runbooks.example.com/host-memory
---*/
-- 90%: page caches normally count as free, so 90% really in use leaves little room for a burst. Databases that are given
-- most of the machine on purpose sit near 85%, hence not the 80% of the CPU rule.
-- 98%: the next large allocation can start the OOM killer, and the loss of a process is an outage, so that tier pages.
-- `for` guards the first firing only: an alert that fires turns critical at the first evaluation on the critical line.
-- The summary cuts after one decimal: rounded up, a figure could show a line that the value has not reached.
SELECT env, host, avg(value) AS value,
       CASE WHEN avg(value) >= 98 THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'memory_percent' AND host IS NOT NULL
GROUP BY env, host
HAVING avg(value) >= 90
