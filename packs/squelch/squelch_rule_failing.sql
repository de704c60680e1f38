/*---
rule: squelch_rule_failing
severity: warning
window: 5m
every: 1m
keep_firing_for: 15m
entity: rule
summary: "squelch: {{ rule }} failed {{ value | round | int }} times in 5 minutes"
description: "Evaluations of a rule failed within 5 minutes."
runbook: https://runbooks.example.com/squelch-rule-failing
---*/
-- Names of squelch itself: docs/metrics.md. A rule that fails is blind, and nobody misses its alerts.
SELECT env, labels['rule'] AS rule, increase(value) AS value
FROM metrics
WHERE name = 'squelch_rule_errors_total' AND labels['rule'] IS NOT NULL
GROUP BY env, labels['rule']
HAVING value >= 1
