/*---
rule: linux_filesystem_will_fill
severity: warning
window: 1h
every: 5m
for: 10m
keep_firing_for: 10m
entity: host
summary: "{{ host }}: {{ mountpoint }} will be full within 4 hours"
description: "A straight line through the free space of the last hour meets zero within 4 hours."
runbook: https://runbooks.example.com/linux-filesystem-will-fill
---*/
-- Names of node_exporter. A straight line through the last hour. Only where less than 40% is left: a log rotation bends every line.
SELECT f.env, f.host, f.mountpoint, f.left_then AS value
FROM (SELECT env, host, labels['mountpoint'] AS mountpoint, predict(value, 4 * 3600) AS left_then, last(value) AS left_now
      FROM metrics
      WHERE name = 'node_filesystem_avail_bytes' AND host IS NOT NULL
        AND coalesce(labels['fstype'], '') NOT IN ('tmpfs', 'ramfs', 'squashfs', 'overlay', 'iso9660')
      GROUP BY env, host, labels['mountpoint']) f
JOIN (SELECT env, host, labels['mountpoint'] AS mountpoint, last(value) AS size
      FROM metrics
      WHERE name = 'node_filesystem_size_bytes' AND host IS NOT NULL
      GROUP BY env, host, labels['mountpoint']) s
  ON f.host = s.host AND f.mountpoint = s.mountpoint AND f.env IS NOT DISTINCT FROM s.env
WHERE f.left_then < 0 AND f.left_now < 0.4 * s.size
