/*---
rule: http_client_error_rate
severity: warning
window: 5m
every: 30s
for: 2m
keep_firing_for: 5m
entity: service
summary: >-
  {{ service }}: {{ (value * 100) | round | int }}% of requests are answered 4xx ({{ refused | round | int }} of
  {{ requests | round | int }} in 5 minutes)
description: >-
  Share of requests answered 4xx (but 401 and 403) in 5 minutes, at or above 30% for 2 minutes, at least 100 requests.
runbook: https://runbooks.example.com/http-client-errors
---*/
-- 30%: 404s of crawlers and old links make a few per cent. A third of all requests is a broken client release, a route that
-- a deploy removed, or clients that are throttled (429). Such things stay until someone acts, so 5 minutes are soon enough.
-- 401 and 403 are left to unauthorised_access. The caller is at fault as often as the service, hence never critical.
-- 100 requests in 5 minutes: with fewer, a few dozen requests of a single scanner would be a third.
SELECT env, service,
       coalesce(sum(value) FILTER (WHERE labels['code'] LIKE '4%' AND labels['code'] NOT IN ('401', '403')), 0)
           / sum(value) AS value,
       coalesce(sum(value) FILTER (WHERE labels['code'] LIKE '4%' AND labels['code'] NOT IN ('401', '403')), 0) AS refused,
       sum(value) AS requests
FROM metrics
WHERE name = 'http_requests' AND service IS NOT NULL
GROUP BY env, service
HAVING refused / requests >= 0.3 AND requests >= 100
