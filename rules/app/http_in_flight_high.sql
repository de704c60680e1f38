/*---
rule: http_in_flight_high
severity: warning
window: 2m
every: 15s
for: 2m
keep_firing_for: 2m
entity: service
summary: "{{ service }}: {{ value | round | int }} requests in flight on average (peak {{ peak | round | int }})"
description: "Mean number of requests in flight over 2 minutes, at or above 200 for 2 minutes."
runbook: https://runbooks.example.com/http-in-flight
---*/
-- Requests in flight = arrival rate x latency (Little's law). At 10 to 50 requests a second and 200 ms that is 2 to 10; a
-- mean of 200 needs answers that take 4 s or more, or traffic many times the usual: requests pile up behind something slow.
-- The mean of all samples: where several instances report, it is the mean per instance. Worker pools smaller than 200 fill
-- sooner; set the line at about 80% of the pool there. Latency and errors page; this says why.
SELECT env, service, avg(value) AS value, max(value) AS peak
FROM metrics
WHERE name = 'http_in_flight' AND service IS NOT NULL
GROUP BY env, service
HAVING avg(value) >= 200
