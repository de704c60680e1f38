/*---
rule: api_latency_high
severity: warning
window: 2m
every: 15s
for: 3m
keep_firing_for: 2m
entity: service
summary: "{{ service }}: p95 latency {{ (value / 1000) | round(1) }} s (median {{ median | round | int }} ms)"
description: >-
  95th percentile of request latency over 2 minutes, at or above 1 s for 3 minutes, at least 20 samples; from then on
  critical at once at 10 s.
runbook: https://runbooks.example.com/api-latency
---*/
-- 1 s: beyond it people notice that they wait. 10 s pages: most clients give up about there, so it is an outage in all but
-- name.
-- 20 samples: 2 minutes hold about 36 at the usual 3 in 10 s, so p95 is the second largest; with fewer it is the largest
-- alone.
-- A slow burst keeps a 2-minute p95 high for almost 2 minutes after its end; with `for: 3m` only those longer than about 70
-- s fire.
-- `for` guards the first firing only: an alert that fires turns critical at the first evaluation on the critical line.
SELECT env, service, p95(value) AS value, p50(value) AS median, count(*) AS samples,
       CASE WHEN p95(value) >= 10000 THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'http_request_ms' AND service IS NOT NULL
GROUP BY env, service
HAVING p95(value) >= 1000 AND count(*) >= 20
