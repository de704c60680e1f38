/*---
rule: linux_filesystem_full
severity: warning
window: 5m
every: 1m
for: 5m
keep_firing_for: 10m
entity: host
summary: "{{ host }}: {{ mountpoint }} has {{ value | round(1) }}% left"
description: "Share of a file system that is available, below 10% for 5 minutes; critical below 3%."
runbook: https://runbooks.example.com/linux-filesystem-full
---*/
-- Names of node_exporter. File systems in memory are left out: they are full by design. 10% leaves hours, 3% minutes.
SELECT env, host, labels['mountpoint'] AS mountpoint,
       100 * last(value) FILTER (WHERE name = 'node_filesystem_avail_bytes')
           / last(value) FILTER (WHERE name = 'node_filesystem_size_bytes') AS value,
       CASE WHEN last(value) FILTER (WHERE name = 'node_filesystem_avail_bytes') * 100
               < 3 * last(value) FILTER (WHERE name = 'node_filesystem_size_bytes') THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name IN ('node_filesystem_avail_bytes', 'node_filesystem_size_bytes') AND host IS NOT NULL
  AND coalesce(labels['fstype'], '') NOT IN ('tmpfs', 'ramfs', 'squashfs', 'overlay', 'iso9660')
GROUP BY env, host, labels['mountpoint']
HAVING value < 10
