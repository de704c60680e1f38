/*---
rule: guardrail_violations
severity: warning
window: 5m
every: 30s
keep_firing_for: 10m
entity: service
summary: "{{ service }}: {{ value | round | int }} violations of guardrail {{ policy }} in 5 minutes"
description: "Guardrail violations of a service and policy in 5 minutes, 20 or more."
runbook: https://runbooks.example.com/guardrail-violations
---*/
-- Single violations are guardrails at work. 20 of one policy in 5 minutes (one in 15 s) is someone who probes the agent, or
-- a prompt or model release that made the agent itself misbehave. Both need a person the same day, neither is an outage:
-- never critical.
-- A count, not a share of calls: one attacker among many users must not vanish in the traffic. It has to grow with the
-- traffic.
-- No `for`: the violations have happened, and waiting makes none of them untrue.
SELECT env, service, coalesce(labels['policy'], 'unknown policy') AS policy, sum(value) AS value
FROM metrics
WHERE name = 'guardrail_violations' AND service IS NOT NULL
GROUP BY env, service, policy
HAVING sum(value) >= 20
