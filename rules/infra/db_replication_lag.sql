/*---
rule: db_replication_lag
severity: warning
window: 1m
every: 15s
for: 2m
keep_firing_for: 5m
entity: service
summary: "{{ service }}: replica {{ replica }} is at least {{ value | round | int }} s behind"
description: "Lowest lag of a replica in 1 minute, at or above 30 s for 2 minutes; from then on critical at once at 300 s."
runbook: https://runbooks.example.com/db-replication-lag
---*/
-- 30 s: users read their own messages from a replica and see them missing. 300 s pages: a failover now would lose up to 5
-- minutes of messages, and data loss is critical by the policy.
-- The lowest lag of the minute: lag jumps with every large transaction and falls back, so only what never came down counts.
-- By replica (its host, where the sample names one): a mean would hide one broken replica among good ones.
-- `for` guards the first firing only: an alert that fires turns critical at the first evaluation on the critical line.
SELECT env, service, coalesce(host, service) AS replica, min(value) AS value,
       CASE WHEN min(value) >= 300 THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'db_replication_lag_s' AND service IS NOT NULL
GROUP BY env, service, replica
HAVING min(value) >= 30
