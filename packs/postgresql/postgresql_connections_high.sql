/*---
rule: postgresql_connections_high
severity: warning
window: 5m
every: 1m
for: 5m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: {{ value | round | int }}% of the connections are in use"
description: "Share of the allowed connections in use, at or above 80% for 5 minutes; critical at 95%."
runbook: https://runbooks.example.com/postgresql-connections-high
---*/
-- Names of postgres_exporter. From 80% on, a burst takes the rest, and whoever comes then is turned away.
SELECT env, host,
       100 * last(value) FILTER (WHERE name = 'pg_stat_activity_count') / last(value) FILTER (WHERE name = 'pg_settings_max_connections') AS value,
       CASE WHEN last(value) FILTER (WHERE name = 'pg_stat_activity_count')
              >= 0.95 * last(value) FILTER (WHERE name = 'pg_settings_max_connections') THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name IN ('pg_stat_activity_count', 'pg_settings_max_connections') AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 80
