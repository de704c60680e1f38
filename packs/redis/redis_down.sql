/*---
rule: redis_down
severity: critical
window: 2m
every: 30s
for: 1m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: Redis does not answer"
description: "Redis did not answer its exporter for a minute."
runbook: https://runbooks.example.com/redis-down
---*/
-- Names of redis_exporter. A minute: a restart takes less.
SELECT env, host, 1 - last(value) AS value
FROM metrics
WHERE name = 'redis_up' AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 1
