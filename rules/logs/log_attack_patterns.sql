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
-- Three `../` in a row, because stack traces of bundled JavaScript hold one or two.
-- No `for`: a scan is often over within a minute.
SELECT env, coalesce(service, host, 'unknown') AS node,
       CASE WHEN body ~* 'union([ +]|%20)+(all([ +]|%20)+)?select'
              OR body ~* '(''|%27)([ +]|%20)*or([ +]|%20)+([''0-9]|%27)+([ +]|%20)*(=|%3d)'
              OR body ~* ';([ +]|%20)*drop([ +]|%20)+table|xp_cmdshell|pg_sleep[(]'
            THEN 'SQL injection'
            WHEN body ~* '([.][.]/){3}|%2e%2e(/|%2f)|[.][.]%2f|/etc/(passwd|shadow)'
            THEN 'path traversal' END AS pattern,
       count(*) AS value
FROM logs
GROUP BY env, node, pattern
HAVING pattern IS NOT NULL AND count(*) >= 5
