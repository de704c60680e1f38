/*---
rule: lb_backends_unhealthy
severity: warning
window: 1m
every: 15s
for: 2m
keep_firing_for: 2m
entity: service
summary: "{{ service }}: only {{ (value * 10) | int / 10 }}% of the backends of pool {{ pool }} are healthy"
description: >-
  Highest share of healthy backends of a pool in 1 minute, at or below 75% for 2 minutes; from then on critical at once
  below 50%.
runbook: https://runbooks.example.com/lb-backends
---*/
-- 75%: one of four gone; the rest carry a third more load. Below 50% pages: more than half of the pool is gone, and a pool
-- sized for the loss of one or two backends will not hold. A pool of two with one gone is at 50%, a warning; with both gone
-- it pages.
-- The highest sample of the minute, for 2 minutes: a rolling deploy that takes backends out one by one, and back, passes.
-- `for` guards the first firing only: an alert that fires turns critical at the first evaluation below the critical line.
-- The summary cuts after one decimal: rounded up, a figure could show a line that the value has not reached.
SELECT env, service, coalesce(labels['pool'], 'default') AS pool, max(value) AS value,
       CASE WHEN max(value) < 50 THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'lb_healthy_backends_percent' AND service IS NOT NULL
GROUP BY env, service, pool
HAVING max(value) <= 75
