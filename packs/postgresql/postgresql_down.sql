/*---
rule: postgresql_down
severity: critical
window: 2m
every: 30s
for: 1m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: PostgreSQL does not answer"
description: "PostgreSQL did not answer its exporter for a minute."
runbook: https://runbooks.example.com/postgresql-down
---*/
-- Names of postgres_exporter. A minute: a restart takes less.
SELECT env, host, 1 - last(value) AS value
FROM metrics
WHERE name = 'pg_up' AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 1
