/*---
rule: otel_server_errors
severity: warning
window: 5m
every: 1m
for: 2m
keep_firing_for: 5m
entity: service
summary: "{{ service }}: {{ (value * 100) | round(1) }}% of requests fail"
description: "Share of requests answered 5xx over 5 minutes, at or above 5% for 2 minutes; critical at 50%."
runbook: https://runbooks.example.com/otel-server-errors
---*/
-- Names of the semantic conventions for HTTP servers. 5% is far above a healthy service; half is an outage. At least 20 requests: of three, one
-- failure is a third.
SELECT env, service,
       increase(value) FILTER (WHERE labels['http.response.status_code'] LIKE '5%') / increase(value) AS value,
       increase(value) AS requests,
       CASE WHEN increase(value) FILTER (WHERE labels['http.response.status_code'] LIKE '5%') >= 0.5 * increase(value)
            THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'http.server.request.duration_count' AND service IS NOT NULL
GROUP BY env, service
HAVING value >= 0.05 AND requests >= 20
