/*---
rule: kubernetes_deployment_short
severity: warning
window: 5m
every: 1m
for: 10m
keep_firing_for: 5m
entity: deployment
summary: "{{ namespace }}/{{ deployment }}: {{ value | int }} replicas are missing"
description: "Fewer replicas are available than a deployment asks for, for 10 minutes; critical where none is."
runbook: https://runbooks.example.com/kubernetes-deployment-short
---*/
-- Names of kube-state-metrics. Ten minutes: a rollout takes less. Critical where none is left.
SELECT env, labels['namespace'] AS namespace, labels['deployment'] AS deployment,
       last(value) FILTER (WHERE name = 'kube_deployment_spec_replicas')
         - last(value) FILTER (WHERE name = 'kube_deployment_status_replicas_available') AS value,
       CASE WHEN last(value) FILTER (WHERE name = 'kube_deployment_status_replicas_available') = 0 THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name IN ('kube_deployment_spec_replicas', 'kube_deployment_status_replicas_available') AND labels['deployment'] IS NOT NULL
GROUP BY env, labels['namespace'], labels['deployment']
HAVING value >= 1
