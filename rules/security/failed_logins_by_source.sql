/*---
rule: failed_logins_by_source
severity: warning
window: 5m
every: 30s
keep_firing_for: 10m
entity: service
summary: >-
  {{ service }}: {{ value | round | int }} failed logins from {{ source }} in 5 minutes, of {{ attempts | round | int }}
  attempts
description: "Failed logins from one source in 5 minutes, 20 or more and at least half of its attempts."
runbook: https://runbooks.example.com/failed-logins
---*/
-- 20 failures from one address in 5 minutes: a person who forgot a password gives up after 5 to 10.
-- At least half of the address's attempts must fail: an office of hundreds behind one address also collects 20 failures on a
-- Monday morning, among many more successes. Slow guessing below 4 a minute, and one spread over addresses, passes here:
-- failed_logins_overall sees the latter. No `for`: a fast attack is over in a minute.
-- A key per address: an attack from very many addresses makes as many groups as the engine's cap allows.
SELECT env, service, coalesce(labels['source'], 'unknown source') AS source,
       coalesce(sum(value) FILTER (WHERE labels['outcome'] = 'failed'), 0) AS value,
       sum(value) AS attempts
FROM metrics
WHERE name = 'login_attempts' AND service IS NOT NULL
GROUP BY env, service, source
HAVING coalesce(sum(value) FILTER (WHERE labels['outcome'] = 'failed'), 0) >= 20
   AND coalesce(sum(value) FILTER (WHERE labels['outcome'] = 'failed'), 0) * 2 >= attempts
