/*---
rule: page_load_slow
severity: warning
window: 5m
every: 30s
for: 2m
keep_firing_for: 5m
entity: service
summary: >-
  {{ service }}: one page load in ten takes {{ (value / 1000) | round(1) }} s or more (median
  {{ (median / 1000) | round(1) }} s)
description: "90th percentile of page load time over 5 minutes, at or above 4 s for 2 minutes, with at least 30 samples."
runbook: https://runbooks.example.com/page-load
---*/
-- 4 s is where Web Vitals calls the largest paint poor, at the 75th percentile. We have p90 at hand: stricter in the
-- percentile, and a whole page load ends after the largest paint, so stricter again. p95 of real browsers is mostly bad
-- mobile links: too noisy.
-- 30 samples, so that one or two slow phones are not the p90. 5 minutes, because page loads come rarely and vary widely.
SELECT env, service, p90(value) AS value, p50(value) AS median, count(*) AS samples
FROM metrics
WHERE name = 'page_load_ms' AND service IS NOT NULL
GROUP BY env, service
HAVING p90(value) >= 4000 AND count(*) >= 30
