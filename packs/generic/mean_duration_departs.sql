/*---
rule: mean_duration_departs
severity: warning
window: 3m
every: 1m
keep_firing_for: 3m
deviation: { over: 12h, settle: 30m, min_history: 10, score: 12, method: tail, floor: 10%, floor_value: 0.005 }
entity: service
summary: "{{ service }}: a piece of work takes {{ (value * 1000) | round | int }} ms in the mean, usually {{ (expected * 1000) | round | int }} ms ({{ score | round | int }} deviations)"
description: >-
  Mean time that a service takes for a piece of work within three minutes, far from what is usual; at least 10 pieces of work.
runbook: https://runbooks.example.com/mean-duration-departs
---*/
-- RED: duration, where histograms and summaries send the time spent and the work done as counters. Counters of other work may be among them:
-- that changes the figure, not its departure from its own past. Floors as those of duration_departs.
SELECT env, service,
  increase(value) FILTER (WHERE role = 'duration') / increase(value) FILTER (WHERE role = 'traffic') AS value
FROM signals
WHERE role IN ('duration', 'traffic') AND temporality = 'cumulative' AND service IS NOT NULL AND peer IS NULL
GROUP BY env, service
HAVING increase(value) FILTER (WHERE role = 'traffic') >= 10
