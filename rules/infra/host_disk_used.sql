/*---
rule: host_disk_used
severity: warning
window: 5m
every: 30s
for: 10m
keep_firing_for: 10m
entity: host
summary: "{{ host }}: {{ mount }} is {{ (value * 10) | int / 10 }}% full"
description: >-
  Lowest disk use of a file system in 5 minutes, at or above 85% for 10 minutes; from then on critical at once at 95%.
runbook: https://runbooks.example.com/host-disk-used
---*/
-- 85% normally leaves hours to days to clean up, a job for working hours. 95% pages: a database that cannot write loses
-- data, and where the collector does not subtract what ext4 reserves for root (5%), others find the disk full there.
-- The lowest sample of 5 minutes must be above the line, so a temporary file that comes and goes does not count.
-- Snap images are read-only and always 100% full: left out.
-- `for` guards the first firing only: an alert that fires turns critical at the first evaluation on the critical line.
-- The summary cuts after one decimal: rounded up, a figure could show a line that the value has not reached.
SELECT env, host, coalesce(labels['mount'], 'unknown mount') AS mount, min(value) AS value,
       CASE WHEN min(value) >= 95 THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'disk_used_percent' AND host IS NOT NULL AND coalesce(labels['mount'], '') NOT LIKE '/snap/%'
GROUP BY env, host, mount
HAVING min(value) >= 85
