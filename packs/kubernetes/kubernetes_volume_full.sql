/*---
rule: kubernetes_volume_full
severity: warning
window: 5m
every: 1m
for: 5m
keep_firing_for: 5m
entity: persistentvolumeclaim
summary: "{{ namespace }}/{{ persistentvolumeclaim }} has {{ value | round(1) }}% left"
description: "Share of a volume that is available, below 10% for 5 minutes; critical below 3%."
runbook: https://runbooks.example.com/kubernetes-volume-full
---*/
-- Names of the kubelet. Volumes are small and fill fast: 10% is a warning, 3% critical.
SELECT env, labels['namespace'] AS namespace, labels['persistentvolumeclaim'] AS persistentvolumeclaim,
       100 * last(value) FILTER (WHERE name = 'kubelet_volume_stats_available_bytes')
           / last(value) FILTER (WHERE name = 'kubelet_volume_stats_capacity_bytes') AS value,
       CASE WHEN last(value) FILTER (WHERE name = 'kubelet_volume_stats_available_bytes') * 100
               < 3 * last(value) FILTER (WHERE name = 'kubelet_volume_stats_capacity_bytes') THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name IN ('kubelet_volume_stats_available_bytes', 'kubelet_volume_stats_capacity_bytes') AND labels['persistentvolumeclaim'] IS NOT NULL
GROUP BY env, labels['namespace'], labels['persistentvolumeclaim']
HAVING value < 10
