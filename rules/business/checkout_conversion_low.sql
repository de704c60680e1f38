/*---
rule: checkout_conversion_low
severity: warning
window: 15m
every: 30s
for: 2m
keep_firing_for: 10m
entity: service
summary: >-
  {{ service }}: only {{ (completed * 1000 / started) | int / 10 }}% of checkouts complete ({{ completed | round | int }} of
  {{ started | round | int }} in 15 minutes)
description: >-
  Share of started checkouts that complete in 15 minutes, below 20% for 2 minutes, 50 started or more; from then on
  critical at once below 2%.
runbook: https://runbooks.example.com/checkout-conversion
---*/
-- We assume that 40 to 60% of those who start a checkout complete it; below 20% something stands in their way. Below 2%
-- pages: then practically nobody can pay, which is an outage of the checkout whatever its error rate says.
-- 50 started in 15 minutes: at a true rate of 40% fewer than 10 of 50 complete by chance about once in 1,000.
-- 15 minutes, since completing takes a few: a shorter window would count the start and miss the end, and a sudden rush of
-- starts still lowers the share for a while.
-- `for` guards the first firing only: an alert that fires turns critical at the first evaluation below the critical line.
-- The summary cuts after one decimal: rounded up, a figure could show a line that the value has not reached.
SELECT env, service,
       coalesce(sum(value) FILTER (WHERE labels['step'] = 'completed'), 0)
           / sum(value) FILTER (WHERE labels['step'] = 'started') AS value,
       coalesce(sum(value) FILTER (WHERE labels['step'] = 'completed'), 0) AS completed,
       sum(value) FILTER (WHERE labels['step'] = 'started') AS started,
       CASE WHEN coalesce(sum(value) FILTER (WHERE labels['step'] = 'completed'), 0)
                 / sum(value) FILTER (WHERE labels['step'] = 'started') < 0.02
            THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'checkouts' AND service IS NOT NULL
GROUP BY env, service
HAVING started >= 50 AND completed / started < 0.2
