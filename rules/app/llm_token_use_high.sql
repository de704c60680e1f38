/*---
rule: llm_token_use_high
severity: warning
window: 5m
every: 30s
for: 10m
keep_firing_for: 10m
entity: service
summary: "{{ service }}: {{ (value / 1000000) | round(1) }} million tokens of {{ model }} in 5 minutes (budget 2 million)"
description: "LLM tokens of a service and model in 5 minutes, at or above 2 million for 10 minutes."
runbook: https://runbooks.example.com/llm-token-use
---*/
-- 2 million tokens in 5 minutes is 24 million an hour: at a few dollars per million, of the order of 100 dollars an hour for
-- one model of one service. Above it we expect a loop (an agent that calls itself, a retry storm) or prompts that grew, not
-- more users.
-- The figure is a budget, not a law of nature: set it from the bill, per model if prices differ widely.
-- `for: 10m`: a burst stays in the window for 5 minutes, so those of up to about 5 minutes are dropped; a loop goes on.
SELECT env, service, coalesce(labels['model'], 'unknown model') AS model, sum(value) AS value
FROM metrics
WHERE name = 'llm_tokens' AND service IS NOT NULL
GROUP BY env, service, model
HAVING sum(value) >= 2000000
