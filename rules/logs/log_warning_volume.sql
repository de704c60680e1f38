/*---
rule: log_warning_volume
severity: info
window: 5m
every: 30s
for: 10m
keep_firing_for: 10m
entity: service
summary: "{{ service }}: {{ value | round | int }} warnings in its log in 5 minutes"
description: "Warning lines in the log of a service in 5 minutes, 300 or more for 10 minutes."
runbook: https://runbooks.example.com/log-warning-volume
---*/
-- 300 warnings in 5 minutes is one a second from one service, several times what a healthy one writes. Warnings alone ask
-- nothing of anyone at night, hence info: they give context to an incident that other rules opened, and a reason to tidy up
-- by day.
-- `for: 10m`: a burst stays in the window for 5 minutes, so those of up to about 5 minutes (a restart, a deploy) are
-- dropped.
-- A count, not a share: it must not fall because the service logs more of everything.
SELECT env, service, count(*) AS value
FROM logs
WHERE lower(severity) IN ('warn', 'warning') AND service IS NOT NULL
GROUP BY env, service
HAVING count(*) >= 300
