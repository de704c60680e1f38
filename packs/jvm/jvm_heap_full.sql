/*---
rule: jvm_heap_full
severity: warning
window: 5m
every: 1m
for: 10m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: {{ value | round | int }}% of the heap in use for 10 minutes"
description: "What is left of the heap after collections, at or above 90% of its limit for 10 minutes."
runbook: https://runbooks.example.com/jvm-heap-full
---*/
-- Names of Micrometer. The least of 5 minutes: after a collection, what is left is alive. Pools without a limit (-1) have no share.
SELECT u.env, u.host, 100 * u.used / m.most AS value
FROM (SELECT env, host, sum(used) AS used
      FROM (SELECT env, host, labels['id'] AS pool, min(value) AS used FROM metrics
            WHERE name = 'jvm_memory_used_bytes' AND labels['area'] = 'heap' AND host IS NOT NULL GROUP BY env, host, labels['id']) p
      GROUP BY env, host) u
JOIN (SELECT env, host, last(value) AS most FROM metrics
      WHERE name = 'jvm_memory_max_bytes' AND labels['area'] = 'heap' AND value > 0 AND host IS NOT NULL GROUP BY env, host) m
  ON u.host = m.host AND u.env IS NOT DISTINCT FROM m.env
WHERE u.used >= 0.9 * m.most
