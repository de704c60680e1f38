/*---
rule: redis_connections_rejected
severity: warning
window: 5m
every: 1m
keep_firing_for: 10m
entity: host
summary: "{{ host }}: {{ value | round | int }} connections were refused in 5 minutes"
description: "Redis refused connections within 5 minutes."
runbook: https://runbooks.example.com/redis-connections-rejected
---*/
-- Names of redis_exporter. Redis refuses a connection only at its limit of clients.
SELECT env, host, increase(value) AS value
FROM metrics
WHERE name = 'redis_rejected_connections_total' AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 1
