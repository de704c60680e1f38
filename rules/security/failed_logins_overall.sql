/*---
rule: failed_logins_overall
severity: warning
window: 5m
every: 30s
for: 2m
keep_firing_for: 10m
entity: service
summary: >-
  {{ service }}: {{ (value * 100) | round | int }}% of logins fail ({{ failed | round | int }} of
  {{ attempts | round | int }} in 5 minutes)
description: >-
  Share of logins that fail in 5 minutes, over all sources, at or above 40% for 2 minutes, 100 attempts or more; from
  then on critical at once at 90%.
runbook: https://runbooks.example.com/failed-logins
---*/
-- We assume that 5 to 15% of logins fail on a good day. 40% is either guessing spread over many sources or a login that is
-- broken for some.
-- 90% pages: then hardly anyone gets in, or an attack dwarfs all users; both are worth waking someone. Not the policy's 50%:
-- a wrong password is no error of the service, and stuffing of stolen passwords reaches 50% without harm to others.
-- 100 attempts in 5 minutes, so that a few forgetful users at night do not make 40%.
-- `for` guards the first firing only: an alert that fires turns critical at the first evaluation on the critical line.
SELECT env, service,
       coalesce(sum(value) FILTER (WHERE labels['outcome'] = 'failed'), 0) / sum(value) AS value,
       coalesce(sum(value) FILTER (WHERE labels['outcome'] = 'failed'), 0) AS failed,
       sum(value) AS attempts,
       CASE WHEN coalesce(sum(value) FILTER (WHERE labels['outcome'] = 'failed'), 0) / sum(value) >= 0.9
            THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'login_attempts' AND service IS NOT NULL
GROUP BY env, service
HAVING failed / attempts >= 0.4 AND attempts >= 100
