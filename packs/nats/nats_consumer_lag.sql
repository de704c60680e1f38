/*---
rule: nats_consumer_lag
severity: warning
window: 5m
every: 1m
for: 5m
keep_firing_for: 5m
entity: consumer
summary: "{{ consumer }} on {{ stream }} is {{ value | round | int }} messages behind"
description: "A consumer was at least 10,000 messages behind during 5 minutes, for 5 minutes."
runbook: https://runbooks.example.com/nats-consumer-lag
---*/
-- Names of prometheus-nats-exporter. The least of 5 minutes: a burst that is worked off is none.
SELECT env, labels['stream_name'] AS stream, labels['consumer_name'] AS consumer, min(value) AS value
FROM metrics
WHERE name = 'jetstream_consumer_num_pending' AND labels['consumer_name'] IS NOT NULL
GROUP BY env, labels['stream_name'], labels['consumer_name']
HAVING value >= 10000
