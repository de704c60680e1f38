/*---
rule: signups_stalled
severity: warning
window: 30m
every: 1m
keep_firing_for: 10m
entity: service
summary: "{{ service }}: not one sign-up in 30 minutes, though the counter reports"
description: "No sign-up in 30 minutes in production, though the counter reports."
runbook: https://runbooks.example.com/signups-stalled
---*/
-- Not one sign-up in 30 minutes. At 10 an hour, evenly spread, that happens by chance in 0.7% of windows; at 20 an hour
-- practically never. A product with fewer needs a longer window. Nights are not known to this rule: adjust it, or silence it
-- by the hour.
-- 120 samples (of 180 in 30 minutes at one in 10 s) prove that the counter reports its zeros and was not just started. A
-- collector that leaves zeros out has no rows, and this rule cannot see it.
-- Production only. Never critical: nobody already with us is harmed.
SELECT env, service, sum(value) AS value, count(*) AS samples
FROM metrics
WHERE name = 'signups' AND env = 'production' AND service IS NOT NULL
GROUP BY env, service
HAVING sum(value) <= 0 AND count(*) >= 120
