/*---
rule: unauthorised_access
severity: warning
window: 5m
every: 30s
for: 2m
keep_firing_for: 10m
entity: service
summary: >-
  {{ service }}: {{ (value * 100) | round | int }}% of requests are refused with 401 or 403 ({{ denied | round | int }} of
  {{ requests | round | int }} in 5 minutes)
description: "Share of requests answered 401 or 403 in 5 minutes, at or above 25% for 2 minutes, with at least 100 requests."
runbook: https://runbooks.example.com/unauthorised-access
---*/
-- Expired tokens make a few per cent of 401, refreshed at once. A quarter of all requests refused is someone who walks the
-- API, or an identity provider or key rotation gone wrong; the services around it tell which. Either is a warning: a refusal
-- is the protection at work, and if users are locked out failed_logins_overall pages.
-- 100 requests in 5 minutes: with fewer, a couple of dozen by one job with an expired key would be a quarter.
-- Services that exist to refuse (a login page that answers 401 to wrong passwords) may need a higher line.
SELECT env, service,
       coalesce(sum(value) FILTER (WHERE labels['code'] IN ('401', '403')), 0) / sum(value) AS value,
       coalesce(sum(value) FILTER (WHERE labels['code'] IN ('401', '403')), 0) AS denied,
       sum(value) AS requests
FROM metrics
WHERE name = 'http_requests' AND service IS NOT NULL
GROUP BY env, service
HAVING denied / requests >= 0.25 AND requests >= 100
