/*---
rule: nats_slow_consumers
severity: warning
window: 5m
every: 1m
keep_firing_for: 10m
entity: host
summary: "{{ host }}: {{ value | round | int }} clients were too slow in 5 minutes"
description: "A NATS server cut off clients that were too slow within 5 minutes."
runbook: https://runbooks.example.com/nats-slow-consumers
---*/
-- Names of prometheus-nats-exporter. The server cuts off clients that do not read: they lose what was sent meanwhile.
SELECT env, host, increase(value) AS value
FROM metrics
WHERE name = 'gnatsd_varz_slow_consumers' AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 1
