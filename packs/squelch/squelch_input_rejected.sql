/*---
rule: squelch_input_rejected
severity: warning
window: 5m
every: 1m
for: 5m
keep_firing_for: 15m
entity: reason
summary: "squelch: {{ value | round | int }} events were rejected in 5 minutes: {{ reason }}"
description: "At least 100 events could not be decoded within 5 minutes, for 5 minutes."
runbook: https://runbooks.example.com/squelch-input-rejected
---*/
-- Names of squelch itself: docs/metrics.md. A collector that sends what cannot be decoded is watched by nobody. A hundred: one odd line is none.
SELECT env, labels['reason'] AS reason, increase(value) AS value
FROM metrics
WHERE name = 'squelch_rejected_total'
GROUP BY env, labels['reason']
HAVING value >= 100
