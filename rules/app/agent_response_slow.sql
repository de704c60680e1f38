/*---
rule: agent_response_slow
severity: warning
window: 5m
every: 30s
for: 2m
keep_firing_for: 3m
entity: service
summary: "{{ service }}: p95 agent response {{ (value / 1000) | round(1) }} s (median {{ (median / 1000) | round(1) }} s)"
description: >-
  95th percentile of AI agent response time over 5 minutes, at or above 10 s for 2 minutes, with at least 20 samples.
runbook: https://runbooks.example.com/agent-response
---*/
-- 10 s: we assume that whole answers take 2 to 5 s, so at this p95 one user in twenty waits at least twice as long as usual.
-- No critical tier: a slow answer still arrives, and one that does not is counted by agent_call_failures as a timeout.
-- 20 samples in 5 minutes, because agents are called less often than APIs.
SELECT env, service, p95(value) AS value, p50(value) AS median, count(*) AS samples
FROM metrics
WHERE name = 'agent_response_ms' AND service IS NOT NULL
GROUP BY env, service
HAVING p95(value) >= 10000 AND count(*) >= 20
