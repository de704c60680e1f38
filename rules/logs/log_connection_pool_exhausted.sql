/*---
rule: log_connection_pool_exhausted
severity: warning
window: 2m
every: 15s
keep_firing_for: 3m
entity: service
summary: "{{ service }}: {{ value | round | int }} log lines in 2 minutes say that it gets no connection"
description: "Log lines that say a connection pool is exhausted or connections are refused, 5 or more in 2 minutes."
runbook: https://runbooks.example.com/connection-pool-exhausted
---*/
-- 5 lines in 2 minutes: one or two may come from a single burst that a retry got over; five means that requests keep failing
-- for want of a connection. The entity is the service that complains, which is mostly the victim: db_connections_high names
-- the database.
-- The wording covers common pools (HikariCP-like "connection pool exhausted"), MySQL ("too many connections") and PostgreSQL
-- ("too many clients", "remaining connection slots"). Add your pool's own words.
-- Not critical: the error rate that follows from it is, if it is bad enough. No `for`: the lines name a fact, not a trend.
SELECT env, service, count(*) AS value
FROM logs
WHERE service IS NOT NULL
  AND body ~* 'connection pool (is )?exhausted|too many (client )?connections|too many clients|remaining connection slots'
GROUP BY env, service
HAVING count(*) >= 5
