/*---
rule: postgresql_deadlocks
severity: warning
window: 5m
every: 1m
keep_firing_for: 10m
entity: host
summary: "{{ host }}: {{ value | round | int }} deadlocks in {{ datname }} in 5 minutes"
description: "Five deadlocks or more in one database within 5 minutes."
runbook: https://runbooks.example.com/postgresql-deadlocks
---*/
-- Names of postgres_exporter. A deadlock now and then is solved by a retry; five in 5 minutes are an order of locks that is wrong.
SELECT env, host, labels['datname'] AS datname, increase(value) AS value
FROM metrics
WHERE name = 'pg_stat_database_deadlocks' AND host IS NOT NULL
GROUP BY env, host, labels['datname']
HAVING value >= 5
