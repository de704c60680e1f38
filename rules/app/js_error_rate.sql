/*---
rule: js_error_rate
severity: warning
window: 5m
every: 30s
for: 1m
keep_firing_for: 5m
entity: service
summary: >-
  {{ service }}: {{ (value * 100) | round | int }} JavaScript errors per 100 page views ({{ errors | round | int }} in 5
  minutes)
description: >-
  JavaScript errors per page view in 5 minutes, at or above 0.1 for 1 minute, with at least 100 views; from then on
  critical at once at 0.5.
runbook: https://runbooks.example.com/js-errors
---*/
-- Errors per page view, not the share of views that fail: one view can throw many. Browser extensions and old browsers make
-- 1 or 2 in 100; 10 in 100 is most often a bad release. 50 in 100 pages, the policy's 50% applied to the nearest thing we
-- can measure.
-- 100 views in 5 minutes: with fewer, one broken browser in a loop would be most of the figure.
-- If pages do not load at all there are no views and no errors: the throughput and balancer rules see that.
-- `for` guards the first firing only: an alert that fires turns critical at the first evaluation on the critical line.
SELECT env, service,
       coalesce(sum(value) FILTER (WHERE name = 'js_errors'), 0) / sum(value) FILTER (WHERE name = 'page_views') AS value,
       coalesce(sum(value) FILTER (WHERE name = 'js_errors'), 0) AS errors,
       sum(value) FILTER (WHERE name = 'page_views') AS views,
       CASE WHEN coalesce(sum(value) FILTER (WHERE name = 'js_errors'), 0) / sum(value) FILTER (WHERE name = 'page_views') >= 0.5
            THEN 'critical' ELSE 'warning' END AS severity
FROM metrics
WHERE name IN ('js_errors', 'page_views') AND service IS NOT NULL
GROUP BY env, service
HAVING views >= 100 AND errors / views >= 0.1
