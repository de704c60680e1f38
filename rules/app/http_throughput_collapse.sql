/*---
rule: http_throughput_collapse
severity: warning
window: 5m
every: 30s
for: 2m
keep_firing_for: 5m
entity: service
summary: "{{ service }}: only {{ value | round | int }} requests in 5 minutes, though the service still reports"
description: "Fewer than 30 requests in 5 minutes, for 2 minutes, at a production service that still reports."
runbook: https://runbooks.example.com/http-throughput-collapse
---*/
-- Fewer than 30 requests in 5 minutes (0.1 a second) where tens in 10 s are usual: traffic no longer arrives, mostly because
-- something in front of the service (DNS, balancer, gateway, client release) broke while the service itself is well.
-- 20 samples prove that the service still reports; a service that fell silent has no rows and is not seen by this rule.
-- An absolute floor, so it knows no daily rhythm: a service that is quiet by nature needs a floor of its own, or an
-- exception here.
-- Production only: elsewhere no traffic is normal. Not critical, since the rate alone cannot tell a fault from a quiet
-- night.
SELECT env, service, sum(value) AS value, count(*) AS samples
FROM metrics
WHERE name = 'http_requests' AND env = 'production' AND service IS NOT NULL
GROUP BY env, service
HAVING sum(value) < 30 AND count(*) >= 20
