/*---
rule: db_query_slow
severity: warning
window: 2m
every: 15s
for: 2m
keep_firing_for: 3m
entity: service
summary: "{{ service }}: p95 query time {{ value | round | int }} ms (median {{ median | round | int }} ms)"
description: "95th percentile of query time over 2 minutes, at or above 500 ms for 2 minutes, with at least 20 samples."
runbook: https://runbooks.example.com/db-query-slow
---*/
-- 500 ms: a chat request makes several queries and has about 1 s in all (api_latency_high), so a p95 of 500 ms eats that
-- budget.
-- 20 samples: a p95 of fewer is just the largest one. At the usual 3 samples in 10 s, 2 minutes hold 36.
-- No critical tier: a reporting database may take seconds and be well. What users notice pages through the API rules.
SELECT env, service, p95(value) AS value, p50(value) AS median, count(*) AS samples
FROM metrics
WHERE name = 'db_query_ms' AND service IS NOT NULL
GROUP BY env, service
HAVING p95(value) >= 500 AND count(*) >= 20
