/*---
rule: host_disk_io_high
severity: warning
window: 2m
every: 30s
for: 10m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: disk {{ device }} busy {{ value | round | int }}% of the time, for 10 minutes"
description: "Mean share of time a device was busy over 2 minutes, at or above 90% for 10 minutes."
runbook: https://runbooks.example.com/host-disk-io
---*/
-- 90% of the time busy means requests queue on a single disk. Arrays and NVMe serve many requests at once and can be 100%
-- busy with room left, so this is a hint beside slow queries, never a page: there is no critical tier.
-- 10 minutes lets backups' shorter bursts and log rotation pass. A backup that runs longer will show up here: silence its
-- hours.
SELECT env, host, coalesce(labels['device'], 'unknown device') AS device, avg(value) AS value
FROM metrics
WHERE name = 'disk_io_util_percent' AND host IS NOT NULL
GROUP BY env, host, device
HAVING avg(value) >= 90
