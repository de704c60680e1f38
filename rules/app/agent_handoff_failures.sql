/*---
rule: agent_handoff_failures
severity: warning
window: 5m
every: 30s
for: 1m
keep_firing_for: 5m
entity: service
summary: >-
  {{ service }}: {{ (value * 100) | round | int }}% of hand-offs fail ({{ failed | round | int }} of
  {{ handoffs | round | int }} in 5 minutes)
description: >-
  Share of AI agent hand-offs that fail in 5 minutes, at or above 20% for 1 minute, 10 hand-offs or more; from then on
  critical at once at 50%.
runbook: https://runbooks.example.com/agent-handoff-failures
---*/
-- A hand-off passes the conversation to another agent or to a person; if it fails, a user who already needed help is left
-- alone.
-- 20%: now and then nobody is free to take over. 50% is critical by the policy.
-- 10 hand-offs in 5 minutes: they are rare, so the floor is low; below it the share says nothing.
-- `for` guards the first firing only: an alert that fires turns critical at the first evaluation on the critical line.
SELECT env, service,
       coalesce(sum(value) FILTER (WHERE labels['outcome'] = 'failed'), 0) / sum(value) AS value,
       coalesce(sum(value) FILTER (WHERE labels['outcome'] = 'failed'), 0) AS failed,
       sum(value) AS handoffs,
       CASE WHEN coalesce(sum(value) FILTER (WHERE labels['outcome'] = 'failed'), 0) / sum(value) >= 0.5
            THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'agent_handoffs' AND service IS NOT NULL
GROUP BY env, service
HAVING failed / handoffs >= 0.2 AND handoffs >= 10
