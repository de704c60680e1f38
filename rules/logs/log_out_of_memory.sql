/*---
rule: log_out_of_memory
severity: warning
window: 5m
every: 15s
keep_firing_for: 10m
entity: node
summary: "{{ node }}: out of memory (log lines that say so in 5 minutes: {{ value | round | int }})"
description: "A log line within 5 minutes that says a process ran out of memory or was killed for it."
runbook: https://runbooks.example.com/out-of-memory
---*/
-- One line is enough: a process was killed or is about to fail, and it is never routine. No `for` for the same reason.
-- The count is no measure: one kill writes three or more kernel lines. So there is no tier by count; whether it is an outage
-- the error rate and the balancer say.
-- No letter before `oom`: a chat service has rooms, and a "room-killed" is none of our business.
-- Kernel lines carry no service, so the entity is the service where there is one, else the host.
SELECT env, coalesce(service, host, 'unknown') AS node, count(*) AS value
FROM logs
WHERE body ~* 'out of memory|outofmemoryerror|(^|[^a-z])oom-?kill|cannot allocate memory'
GROUP BY env, node
