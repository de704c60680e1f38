/*---
rule: host_network_errors
severity: warning
window: 5m
every: 30s
for: 10m
keep_firing_for: 5m
entity: host
summary: "{{ host }}: {{ value | round | int }} network errors on {{ interface }} in 5 minutes"
description: "Errors of a network interface in 5 minutes, at least 50 in each window for 10 minutes."
runbook: https://runbooks.example.com/host-network-errors
---*/
-- A healthy link counts no errors for days. 50 in 5 minutes (one in 6 s), kept up for 10 minutes, is a cable, a transceiver,
-- a duplex mismatch or a ring buffer that overflows. One burst at a link flap stays in the 5-minute window for 5 minutes and
-- no longer, so `for: 10m` drops it.
-- A count, not a share of packets: packets are not collected. On a very busy link 50 may be harmless; raise it there.
SELECT env, host, coalesce(labels['interface'], 'unknown interface') AS interface, sum(value) AS value
FROM metrics
WHERE name = 'network_errors' AND host IS NOT NULL
GROUP BY env, host, interface
HAVING sum(value) >= 50
