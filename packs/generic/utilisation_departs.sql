/*---
rule: utilisation_departs
severity: warning
window: 3m
every: 1m
keep_firing_for: 3m
deviation: { over: 12h, settle: 30m, min_history: 10, score: 12, method: tail, floor: 10%, floor_value: 0.02 }
entity: host
summary: "{{ host }}: {{ resource }} at {{ value | round(2) }}, usually {{ expected | round(2) }} ({{ score | round | int }} deviations)"
description: >-
  What a host uses of a resource: median of three minutes, far above what is usual.
runbook: https://runbooks.example.com/utilisation-departs
---*/
-- USE: utilisation, of hosts. Floors as those of service_utilisation_departs. A disk that fills up does so slowly, and becomes usual on the way:
-- that is what the threshold of host_disk_used is for.
SELECT env, host, coalesce(resource, name) AS resource, name AS view,
  coalesce(p50(value) FILTER (WHERE temporality = 'gauge'), rate(value) FILTER (WHERE temporality <> 'gauge')) AS value
FROM signals
WHERE role = 'utilisation' AND service IS NULL AND host IS NOT NULL
GROUP BY env, host, coalesce(resource, name), name
