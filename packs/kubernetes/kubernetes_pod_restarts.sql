/*---
rule: kubernetes_pod_restarts
severity: warning
window: 15m
every: 1m
keep_firing_for: 10m
entity: pod
summary: "{{ namespace }}/{{ pod }}: {{ value | round | int }} restarts in 15 minutes"
description: "Containers of a pod restarted three times or more within 15 minutes."
runbook: https://runbooks.example.com/kubernetes-pod-restarts
---*/
-- Names of kube-state-metrics. One restart is a deployment or an eviction, three are a loop.
SELECT env, labels['namespace'] AS namespace, labels['pod'] AS pod, increase(value) AS value
FROM metrics
WHERE name = 'kube_pod_container_status_restarts_total' AND labels['pod'] IS NOT NULL
GROUP BY env, labels['namespace'], labels['pod']
HAVING value >= 3
