/*---
rule: feature_use_stalled
severity: info
window: 30m
every: 1m
keep_firing_for: 30m
entity: service
summary: "{{ service }}: feature {{ feature }} not used once in 30 minutes"
description: "A feature not used once in 30 minutes in production, though its counter reports."
runbook: https://runbooks.example.com/feature-use-stalled
---*/
-- A feature that reports and that nobody used for 30 minutes: a button that vanished with a release, or a flag turned off.
-- Info, because a rarely used feature does that on its own; the rule's use is in an incident's record and in the week's
-- review.
-- 120 samples (of 180 at one in 10 s) prove that the counter reports zeros. Features used less than ten times an hour should
-- be left out here. Production only.
SELECT env, service, coalesce(labels['feature'], 'unknown feature') AS feature, sum(value) AS value, count(*) AS samples
FROM metrics
WHERE name = 'feature_uses' AND env = 'production' AND service IS NOT NULL
GROUP BY env, service, feature
HAVING sum(value) <= 0 AND count(*) >= 120
