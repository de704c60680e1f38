/*---
rule: host_cpu_high
severity: warning
window: 2m
every: 30s
for: 10m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: CPU at or above 80% for 10 minutes, now {{ value | round | int }}% (peak {{ peak | round | int }}%)"
description: "Mean CPU use of a host over 2 minutes, at or above 80% (critical at 95%) for 10 minutes."
runbook: https://runbooks.example.com/host-cpu
---*/
-- 80% for 10 minutes is the monitoring policy's own number. 95% is ours: above it the run queue grows and latency follows.
-- The mean of 2 minutes (12 samples) forgives one low sample, which would otherwise restart the 10 minutes.
-- `for` applies to both tiers: a host at 100% pages after 10 minutes too. What users feel sooner, the API rules report
-- sooner.
SELECT env, host, avg(value) AS value, max(value) AS peak,
       CASE WHEN avg(value) >= 95 THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'cpu_percent' AND host IS NOT NULL
GROUP BY env, host
HAVING avg(value) >= 80
