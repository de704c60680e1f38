/*---
rule: edge_duration_departs
severity: warning
window: 3m
every: 1m
keep_firing_for: 3m
deviation: { over: 12h, settle: 30m, min_history: 10, score: 12, method: tail, floor: 10%, floor_value: 0.005 }
entity: service
peer: caller
summary: "{{ service }}: {{ caller }} waits {{ (value * 1000) | round | int }} ms for it, usually {{ (expected * 1000) | round | int }} ms ({{ score | round | int }} deviations)"
description: >-
  What a caller waits for this service: median of three minutes, far from what is usual between the two.
runbook: https://runbooks.example.com/edge-duration-departs
---*/
-- Edges: how long callers wait, as they measure it. It is the doing of the one that is called, so that is the entity; the caller is the peer,
-- and answers for it where the callee is cleared. Windows and floors as those of duration_departs.
SELECT env, service, peer AS caller, name AS view, p50(value) AS value
FROM signals
WHERE role = 'duration' AND temporality = 'gauge' AND service IS NOT NULL AND peer IS NOT NULL
GROUP BY env, service, peer, name
