/*---
rule: conversations_started_low
severity: warning
window: 10m
every: 30s
for: 5m
keep_firing_for: 10m
entity: service
summary: "{{ service }}: only {{ value | round | int }} conversations started in 10 minutes"
description: "Fewer than 5 conversations started in 10 minutes, for 5 minutes, in production, though the counter reports."
runbook: https://runbooks.example.com/conversations-started-low
---*/
-- Conversations are the product. Fewer than 5 in 10 minutes where tens a minute are usual is users who cannot get in, even
-- if every server looks well. 10 minutes and `for: 5m`, so that a lull does not count.
-- 40 samples (of 60 at one in 10 s) prove that the counter still reports; one that fell silent is not seen here.
-- An absolute floor without a daily rhythm: lower it if your nights are quieter. For that reason a warning and not a page.
SELECT env, service, sum(value) AS value, count(*) AS samples
FROM metrics
WHERE name = 'conversations_started' AND env = 'production' AND service IS NOT NULL
GROUP BY env, service
HAVING sum(value) < 5 AND count(*) >= 40
