/*---
rule: agent_call_failures
severity: warning
window: 2m
every: 15s
for: 1m
keep_firing_for: 3m
entity: service
summary: >-
  {{ service }}: {{ (value * 100) | round | int }}% of agent calls fail ({{ failed | round | int }} of
  {{ calls | round | int }}, {{ timeouts | round | int }} timed out)
description: >-
  Share of AI agent calls that fail or time out in 2 minutes, at or above 10% for 1 minute, 20 calls or more; from then
  on critical at once at 50%.
runbook: https://runbooks.example.com/agent-call-failures
---*/
-- Errors and timeouts together: the user gets no answer either way. 50% is critical by the policy. 10%: we take a few per
-- cent as ordinary (providers throttle and time out) and more as trouble; check that against your own quiet week.
-- 20 calls in 2 minutes, so that two bad calls at night are not 10%.
-- `for` guards the first firing only: an alert that fires turns critical at the first evaluation on the critical line.
SELECT env, service,
       coalesce(sum(value) FILTER (WHERE labels['outcome'] IN ('error', 'timeout')), 0) / sum(value) AS value,
       coalesce(sum(value) FILTER (WHERE labels['outcome'] IN ('error', 'timeout')), 0) AS failed,
       coalesce(sum(value) FILTER (WHERE labels['outcome'] = 'timeout'), 0) AS timeouts,
       sum(value) AS calls,
       CASE WHEN coalesce(sum(value) FILTER (WHERE labels['outcome'] IN ('error', 'timeout')), 0) / sum(value) >= 0.5
            THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'agent_calls' AND service IS NOT NULL
GROUP BY env, service
HAVING failed / calls >= 0.1 AND calls >= 20
