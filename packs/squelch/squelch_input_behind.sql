/*---
rule: squelch_input_behind
severity: warning
window: 5m
every: 1m
for: 5m
keep_firing_for: 5m
entity: host
summary: "squelch on {{ host }} is {{ value | round | int }} messages behind"
description: "At least 100,000 messages waited to be read during 5 minutes, for 5 minutes."
runbook: https://runbooks.example.com/squelch-input-behind
---*/
-- Names of squelch itself: docs/metrics.md. The least of 5 minutes: a burst that is worked off is none.
SELECT env, host, min(value) AS value
FROM metrics
WHERE name = 'squelch_input_pending_messages' AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 100000
