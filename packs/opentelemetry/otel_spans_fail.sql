/*---
rule: otel_spans_fail
severity: warning
window: 5m
every: 1m
for: 2m
keep_firing_for: 5m
entity: service
summary: "{{ service }}: {{ value | int }} spans failed, {{ (share * 100) | round | int }}% of them"
description: "At least 50 spans and a tenth of all have the status error, over 5 minutes, for 2 minutes."
runbook: https://runbooks.example.com/otel-spans-fail
---*/
-- The share of spans with the status error, whatever they are about. At least 50 of them.
SELECT env, service, count(*) FILTER (WHERE status ILIKE '%error%') AS value,
       count(*) FILTER (WHERE status ILIKE '%error%') * 1.0 / count(*) AS share
FROM spans
WHERE service IS NOT NULL
GROUP BY env, service
HAVING value >= 50 AND share >= 0.1
