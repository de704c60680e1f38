/*---
rule: postgresql_replication_lag
severity: warning
window: 5m
every: 1m
for: 5m
keep_firing_for: 5m
entity: host
summary: "{{ host }} is {{ value | round | int }} s behind its primary"
description: "A replica is at least 60 s behind during 5 minutes; critical at 10 minutes."
runbook: https://runbooks.example.com/postgresql-replication-lag
---*/
-- Names of postgres_exporter. 60 s: readers notice. Critical at ten minutes: a failover would lose as much.
SELECT env, host, max(value) AS value, CASE WHEN min(value) >= 600 THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'pg_replication_lag_seconds' AND host IS NOT NULL
GROUP BY env, host
HAVING min(value) >= 60
