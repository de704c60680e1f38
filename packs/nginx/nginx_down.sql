/*---
rule: nginx_down
severity: critical
window: 2m
every: 30s
for: 1m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: nginx does not answer"
description: "nginx did not answer its exporter for a minute."
runbook: https://runbooks.example.com/nginx-down
---*/
-- Names of nginx-prometheus-exporter. A minute: a reload takes less.
SELECT env, host, 1 - last(value) AS value
FROM metrics
WHERE name = 'nginx_up' AND host IS NOT NULL
GROUP BY env, host
HAVING value >= 1
