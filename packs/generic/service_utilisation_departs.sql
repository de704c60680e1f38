/*---
rule: service_utilisation_departs
severity: warning
window: 3m
every: 1m
keep_firing_for: 3m
deviation: { over: 12h, settle: 30m, min_history: 10, score: 12, method: tail, floor: 10%, floor_value: 0.02 }
entity: service
summary: "{{ service }}: {{ resource }} at {{ value | round(2) }}, usually {{ expected | round(2) }} ({{ score | round | int }} deviations)"
description: >-
  What a service uses of a resource: median of three minutes, far above what is usual.
runbook: https://runbooks.example.com/service-utilisation-departs
---*/
-- USE: utilisation, of services. The floors: a tenth of the usual, or a fiftieth of the resource, are never more than one deviation.
SELECT env, service, coalesce(resource, name) AS resource, name AS view,
  coalesce(p50(value) FILTER (WHERE temporality = 'gauge'), rate(value) FILTER (WHERE temporality <> 'gauge')) AS value
FROM signals
WHERE role = 'utilisation' AND service IS NOT NULL
GROUP BY env, service, coalesce(resource, name), name
