/*---
rule: redis_memory_high
severity: warning
window: 5m
every: 1m
for: 5m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: {{ value | round | int }}% of the allowed memory in use"
description: "Share of the allowed memory in use, at or above 90% for 5 minutes."
runbook: https://runbooks.example.com/redis-memory-high
---*/
-- Names of redis_exporter. At the limit, keys are evicted or writes refused. Without a limit (0) there is no share.
SELECT env, host,
       100 * last(value) FILTER (WHERE name = 'redis_memory_used_bytes')
           / nullif(last(value) FILTER (WHERE name = 'redis_memory_max_bytes'), 0) AS value
FROM metrics
WHERE name IN ('redis_memory_used_bytes', 'redis_memory_max_bytes') AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 90
