/*---
rule: linux_out_of_memory_kill
severity: warning
window: 5m
every: 1m
keep_firing_for: 15m
entity: host
summary: "{{ host }}: the kernel killed {{ value | round | int }} processes for want of memory"
description: "The out-of-memory killer ended processes within 5 minutes."
runbook: https://runbooks.example.com/linux-out-of-memory-kill
---*/
-- Names of node_exporter. One kill is worth a look: something lost its work.
SELECT env, host, increase(value) AS value
FROM metrics
WHERE name = 'node_vmstat_oom_kill' AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 1
