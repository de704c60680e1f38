/*---
rule: ui_interaction_slow
severity: warning
window: 5m
every: 30s
for: 2m
keep_firing_for: 5m
entity: service
summary: >-
  {{ service }}: one UI interaction in ten takes {{ value | round | int }} ms or more (median {{ median | round | int }}
  ms)
description: >-
  90th percentile of the time the UI takes to react over 5 minutes, at or above 500 ms for 2 minutes, at least 30 samples.
runbook: https://runbooks.example.com/ui-interaction
---*/
-- 500 ms is where Web Vitals calls an interaction poor (INP, at the 75th percentile; p90 here, which is stricter).
-- Mostly the client's own main thread, so it seldom has a cause in the back end; beside slow API answers it does.
-- 30 samples, so that one or two slow phones are not the p90.
SELECT env, service, p90(value) AS value, p50(value) AS median, count(*) AS samples
FROM metrics
WHERE name = 'ui_interaction_ms' AND service IS NOT NULL
GROUP BY env, service
HAVING p90(value) >= 500 AND count(*) >= 30
