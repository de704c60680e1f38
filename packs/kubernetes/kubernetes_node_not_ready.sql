/*---
rule: kubernetes_node_not_ready
severity: critical
window: 5m
every: 1m
for: 5m
keep_firing_for: 5m
entity: node
summary: "{{ node }} is not ready"
description: "A node has not been ready for 5 minutes."
runbook: https://runbooks.example.com/kubernetes-node-not-ready
---*/
-- Names of kube-state-metrics. Five minutes: then its pods are moved.
SELECT env, labels['node'] AS node, 1 - last(value) AS value
FROM metrics
WHERE name = 'kube_node_status_condition' AND labels['condition'] = 'Ready' AND labels['status'] = 'true' AND labels['node'] IS NOT NULL
GROUP BY env, labels['node']
HAVING value >= 1
