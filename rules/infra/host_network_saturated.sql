/*---
rule: host_network_saturated
severity: warning
window: 2m
every: 30s
for: 10m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: link {{ interface }} at {{ value | round | int }}% of its capacity, for 10 minutes"
description: "Mean use of a network link over 2 minutes, at or above 80% for 10 minutes."
runbook: https://runbooks.example.com/host-network-saturated
---*/
-- 80% as the mean of 2 minutes: bursts below the sample interval already fill the queues then, and packets are dropped at
-- 100% within a second that no mean shows. 10 minutes lets a large download or an image pull pass.
-- No critical tier: a full link hurts through latency and errors, which have rules of their own.
SELECT env, host, coalesce(labels['interface'], 'unknown interface') AS interface, avg(value) AS value
FROM metrics
WHERE name = 'network_util_percent' AND host IS NOT NULL
GROUP BY env, host, interface
HAVING avg(value) >= 80
