/*---
rule: errors_depart
severity: critical
window: 1m
for: 1m
keep_firing_for: 3m
deviation: { over: 1d, settle: 1h, min_history: 30, score: 8, floor: 25%, floor_value: 0.01 }
entity: service
summary: "{{ service }}: {{ (value * 100) | round(1) }}% of requests fail with 5xx, usually {{ (expected * 100) | round(1) }}% ({{ score | round | int }} deviations)"
description: >-
  The share of requests answered 5xx within a minute, far from what is usual for this service; at least 20 requests.
runbook: https://runbooks.example.com/errors-depart
---*/
-- RED: errors. The floors: a quarter of the usual share, or one request of a hundred, are never more than one deviation.
-- 20 requests: of fewer, one failure is a large share.
SELECT env, service, coalesce(sum(value) FILTER (WHERE labels['code'] LIKE '5%'), 0) / sum(value) AS value
FROM metrics
WHERE name = 'http_requests' AND service IS NOT NULL
GROUP BY env, service
HAVING sum(value) >= 20
