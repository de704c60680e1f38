/*---
rule: log_attack_patterns
severity: warning
window: 5m
every: 30s
keep_firing_for: 10m
entity: node
summary: "{{ node }}: {{ value | round | int }} log lines look like {{ pattern }} attempts in 5 minutes"
description: "Log lines that look like attempts at SQL injection or path traversal, 5 or more of a kind in 5 minutes."
runbook: https://runbooks.example.com/log-attack-patterns
---*/
-- 5 lines in 5 minutes: whatever faces the Internet sees single probes all day; five of one kind is a tool at work on this
-- service.
-- Known blind spots: only what is logged is seen, encodings beyond %20, %27, %2e and %2f are not, and a hit says that
-- someone tried, not that it worked, hence never critical. A database that logs its statements may match its own "union
-- select": exclude it here.
-- Prose and source paths stay out: `union select` counts only behind a digit, quote or bracket, or before a list of numbers
-- ("European Union select committee" has neither); `or 1=1` only behind a quote, bracket or number. Raw `../` counts in a
-- request's path (three in a row), at the start of a query value, or on the way to a system folder, because stack traces and
-- module paths are full of them.
-- No `for`: a scan is often over within a minute.
SELECT env, coalesce(service, host, 'unknown') AS node,
       CASE WHEN body ~* '([0-9)"'']|%2[279])([ +]|%20)+union([ +(]|%20)+(all([ +(]|%20)+)?select([ +(*]|%20)'
              OR body ~* 'union([ +(]|%20)+(all([ +(]|%20)+)?select([ +]|%20)+(null|[0-9]+)(,|%2c)'
              OR body ~* '(["'')]|%2[279])([ +]|%20)*or([ +]|%20)*[(]?(["'']|%2[27])[a-z0-9]*(["'']|%2[27])([ +]|%20)*(=|%3d)'
              OR body ~* '(["'')]|%2[279]|[0-9]([ +]|%20))([ +]|%20)*or([ +]|%20)+[0-9]+([ +]|%20)*(=|%3d)([ +]|%20)*[0-9]'
              OR body ~* ';([ +]|%20)*drop([ +]|%20)+table[ +%]|xp_cmdshell|pg_sleep[(]'
            THEN 'SQL injection'
            WHEN body ~* '([.][.][/\\]){3,}(etc|proc|windows|winnt)[/\\]|(/|%2f)etc(/|%2f)(passwd|shadow)([^a-z]|$)'
              OR body ~* '(?-i:GET|HEAD|POST|PUT|PATCH|DELETE) /([^ ?]*/)?([.][.]/){3}|[?&][^ =&]*=/?([.][.][/\\]){2}'
              OR body ~* '%2e%2e([/\\]|%2f|%5c)|[.][.](%2f|%5c)|[/\\]win[.]ini'
            THEN 'path traversal' END AS pattern,
       count(*) AS value
FROM logs
GROUP BY env, node, pattern
HAVING pattern IS NOT NULL AND count(*) >= 5
