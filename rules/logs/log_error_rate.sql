/*---
rule: log_error_rate
severity: warning
window: 2m
every: 15s
for: 1m
keep_firing_for: 3m
entity: service
summary: >-
  {{ service }}: {{ errors | round | int }} error lines in 2 minutes, {{ (value * 100) | round | int }}% of its log
description: >-
  Share of log lines at error level or above in 2 minutes, at or above 20% for 1 minute, with at least 20 such lines.
runbook: https://runbooks.example.com/log-error-rate
---*/
-- One line in five at error level or above, and at least 20 of them in 2 minutes. The share keeps talkative services from
-- firing on volume alone; the count keeps a service that logs three lines an hour, one of them an error, silent.
-- Never critical: log lines are not requests, and a service may log each failure once, five times or not at all. The
-- policy's 50% is applied to requests, in http_server_error_rate; this rule is the evidence beside it, and the only one for
-- workers.
-- A service that logs nothing below error level has a share of 1: there only the count decides.
SELECT env, service,
       CAST(count(*) FILTER (WHERE severity ~* '^(err|fatal|crit|alert|emerg|panic|severe)') AS DOUBLE) / count(*) AS value,
       count(*) FILTER (WHERE severity ~* '^(err|fatal|crit|alert|emerg|panic|severe)') AS errors,
       count(*) AS lines
FROM logs
WHERE service IS NOT NULL
GROUP BY env, service
HAVING errors >= 20 AND errors * 5 >= lines
