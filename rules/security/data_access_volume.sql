/*---
rule: data_access_volume
severity: warning
window: 5m
every: 30s
keep_firing_for: 15m
entity: service
summary: "{{ actor }} read {{ value | round | int }} rows of {{ dataset }} through {{ service }} in 5 minutes"
description: "Rows of a sensitive data set read by one actor in 5 minutes, at or above 10,000 (critical at 100,000)."
runbook: https://runbooks.example.com/data-access-volume
---*/
-- 10,000 rows of a sensitive data set by one actor in 5 minutes is 33 a second: no person reads that, a script or an export
-- does.
-- 100,000 pages: if it is theft, the data is gone within the hour, and data loss is critical by the policy.
-- Sanctioned bulk readers (backup, analytics) will fire: exclude them by actor in the WHERE, one by one, so that each is a
-- decision.
-- Whoever reads slowly stays below the line; that needs a window of a day. No `for`: the rows have been read.
SELECT env, service, coalesce(labels['dataset'], 'unknown dataset') AS dataset,
       coalesce(labels['actor'], 'unknown actor') AS actor, sum(value) AS value,
       CASE WHEN sum(value) >= 100000 THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'data_access_rows' AND service IS NOT NULL
GROUP BY env, service, dataset, actor
HAVING sum(value) >= 10000
