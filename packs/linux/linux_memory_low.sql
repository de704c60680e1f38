/*---
rule: linux_memory_low
severity: warning
window: 5m
every: 1m
for: 5m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: {{ value | round | int }}% of the memory is available"
description: "Share of the memory that is available, below 10% for 5 minutes; critical below 3%."
runbook: https://runbooks.example.com/linux-memory-low
---*/
-- Names of node_exporter. Available memory counts caches that can be dropped. Below 10%, the next large request ends in the out-of-memory killer;
-- below 3% it is about to.
SELECT env, host,
       100 * last(value) FILTER (WHERE name = 'node_memory_MemAvailable_bytes')
           / last(value) FILTER (WHERE name = 'node_memory_MemTotal_bytes') AS value,
       CASE WHEN last(value) FILTER (WHERE name = 'node_memory_MemAvailable_bytes') * 100
               < 3 * last(value) FILTER (WHERE name = 'node_memory_MemTotal_bytes') THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name IN ('node_memory_MemAvailable_bytes', 'node_memory_MemTotal_bytes') AND host IS NOT NULL
GROUP BY env, host
HAVING value < 10
