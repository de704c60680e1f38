/*---
rule: linux_cpu_busy
severity: warning
window: 5m
every: 1m
for: 10m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: CPU {{ value | round | int }}% busy for 10 minutes"
description: "Share of CPU time that was not idle, over 5 minutes, at or above 90% for 10 minutes."
runbook: https://runbooks.example.com/linux-cpu-busy
---*/
-- Names of node_exporter. 90%: work queues up from there on. Ten minutes: builds and backups pass.
SELECT env, host, 100 * (1 - rate(value) FILTER (WHERE labels['mode'] = 'idle') / rate(value)) AS value
FROM metrics
WHERE name = 'node_cpu_seconds_total' AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 90
