/*---
rule: otel_server_slow
severity: warning
window: 5m
every: 1m
for: 5m
keep_firing_for: 5m
entity: service
summary: "{{ service }}: p95 latency {{ value | round(2) }} s"
description: "95th percentile of the latency over 5 minutes, at or above a second for 5 minutes."
runbook: https://runbooks.example.com/otel-server-slow
---*/
-- Names of the semantic conventions for HTTP servers. A second at p95 is felt by one user in twenty.
SELECT env, service, histogram_quantile(0.95, labels['le'], value) AS value
FROM metrics
WHERE name = 'http.server.request.duration_bucket' AND service IS NOT NULL
GROUP BY env, service
HAVING value >= 1
