/*---
rule: nginx_connections_dropped
severity: warning
window: 5m
every: 1m
keep_firing_for: 10m
entity: host
summary: "{{ host }}: {{ value | round | int }} connections were dropped in 5 minutes"
description: "nginx accepted connections within 5 minutes that it did not handle."
runbook: https://runbooks.example.com/nginx-connections-dropped
---*/
-- Names of nginx-prometheus-exporter. What is accepted and not handled met a limit: worker_connections, or open files.
SELECT env, host,
       increase(value) FILTER (WHERE name = 'nginx_connections_accepted') - increase(value) FILTER (WHERE name = 'nginx_connections_handled') AS value
FROM metrics
WHERE name IN ('nginx_connections_accepted', 'nginx_connections_handled') AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 1
