/*---
rule: http_server_error_rate
severity: warning
window: 1m
every: 15s
for: 1m
keep_firing_for: 2m
entity: service
summary: >-
  {{ service }}: {{ (value * 100) | round | int }}% of requests fail with 5xx ({{ failed | round | int }} of
  {{ requests | round | int }} in 1 minute)
description: >-
  Share of requests answered 5xx in 1 minute, at or above 5% for 1 minute, with at least 20 requests; from then on
  critical at once at 50%.
runbook: https://runbooks.example.com/http-server-errors
---*/
-- 50% failing is critical by the policy. 5% is well above the share of a healthy service (below 1%) and of one bad backend
-- in 30.
-- At least 20 requests a minute: one failed request of three at night pages nobody, while even a quiet service makes
-- hundreds.
-- 1 minute, since a total outage must page soon: the 5% line is crossed at once, and the page is due 60 to 80 s after the
-- start.
-- One bad sample of 10 s stays in the window for four ticks (45 s from the first to the last) and does not outlast `for`.
-- `for` guards the first firing only: where the rule already fires, one such sample can make it critical at once.
SELECT env, service,
       coalesce(sum(value) FILTER (WHERE labels['code'] LIKE '5%'), 0) / sum(value) AS value,
       coalesce(sum(value) FILTER (WHERE labels['code'] LIKE '5%'), 0) AS failed,
       sum(value) AS requests,
       CASE WHEN coalesce(sum(value) FILTER (WHERE labels['code'] LIKE '5%'), 0) / sum(value) >= 0.5
            THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name = 'http_requests' AND service IS NOT NULL
GROUP BY env, service
HAVING failed / requests >= 0.05 AND requests >= 20
