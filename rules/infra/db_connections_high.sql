/*---
rule: db_connections_high
severity: warning
window: 1m
every: 15s
for: 1m
keep_firing_for: 3m
entity: service
summary: "{{ service }}: {{ (value * 10) | int / 10 }}% of the allowed connections in use (peak {{ peak | round | int }}%)"
description: >-
  Mean share of the allowed database connections in use over 1 minute, at or above 80% for 1 minute; from then on
  critical at once at 95%.
runbook: https://runbooks.example.com/db-connections
---*/
-- At 100% the database refuses whoever asks next, so every service behind it fails at once: 95% pages before that.
-- 80% leaves room for the reconnects of one rolling deploy. 1 minute of `for` on a mean of 1 minute drops a spike of
-- reconnects.
-- Not 10 minutes as for hosts: connections run out within minutes, this is often the root of everything else, and it should
-- fire no later than the error rates that follow from it.
-- `for` guards the first firing only: an alert that fires turns critical at the first evaluation on the critical line.
-- The summary cuts after one decimal: rounded up, a figure could show a line that the value has not reached.
SELECT env, service, avg(value) AS value, max(value) AS peak,
       CASE WHEN avg(value) >= 95 THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'db_connections_percent' AND service IS NOT NULL
GROUP BY env, service
HAVING avg(value) >= 80
