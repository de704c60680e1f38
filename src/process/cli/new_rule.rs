//! `squelch new rule`: a rule to begin with, and a test of it.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::process::cli::answer::Terminal;
use crate::process::cli::output_file::write_file;

#[derive(Args, Debug)]
pub(crate) struct NewArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// A commented rule and a test of it
    Rule(RuleArgs),
}

#[derive(Args, Debug)]
struct RuleArgs {
    /// The rule's name: letters, digits, `_`, `-` and `.`
    name: String,
    /// The folder of the rule; its test goes to `tests` below
    #[arg(long, value_name = "DIR", default_value = "rules")]
    dir: PathBuf,
}

pub(crate) fn run(args: &NewArgs, terminal: &mut Terminal) -> Result<()> {
    let What::Rule(args) = &args.what;
    let name = &args.name;
    if name.is_empty() || name.starts_with('.') || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
        bail!("{name:?} is no rule name: use letters, digits, `_`, `-` and `.`");
    }
    let (rule, test) = (args.dir.join(format!("{name}.sql")), args.dir.join("tests").join(format!("{name}.yaml")));
    for path in [&rule, &test] {
        if path.exists() {
            bail!("{} is there already", path.display());
        }
    }
    write_file(&rule, &RULE.replace("NAME", name))?;
    write_file(&test, &TEST.replace("NAME", name))?;
    writeln!(terminal.out, "{}\n{}", rule.display(), test.display())?;
    writeln!(terminal.out, "Change both, then run `squelch test {}`.", args.dir.display())?;
    Ok(())
}

const RULE: &str = r#"/*---
rule: NAME
severity: warning             # info, warning or critical; a column `severity` decides by row
window: 5m                    # how far an evaluation looks back
every: 1m                     # how often it is evaluated
for: 2m                       # how long a breach must last before the alert fires
keep_firing_for: 5m           # how long the alert stays after its last breach
entity: service               # the column that names the node of the topology
summary: "{{ service }}: {{ value | round(1) }} jobs wait"
runbook: https://runbooks.example.com/NAME
---*/
-- Why the threshold has this value, and what to do when it is crossed.
-- Each row is a breach. Columns of text are the alert's labels, `value` is its value.
SELECT env, service, avg(value) AS value
FROM metrics
WHERE name = 'queue_length' AND service IS NOT NULL
GROUP BY env, service
HAVING avg(value) >= 100
"#;

const TEST: &str = r#"# `0+10x60` is a sample and 60 more, each 10 higher; `_` leaves one out. See docs/testing.md.
interval: 30s
tests:
  - name: a queue that is long for minutes is reported, and a short one is not
    series:
      - { series: 'queue_length{service="mail",env="production"}', values: '150x40' }
      - { series: 'queue_length{service="chat",env="production"}', values: '20x40' }
    expect:
      - at: 1m
        alerts: []
      - at: 10m
        rule: NAME
        alerts:
          - { labels: { service: mail, env: production }, severity: warning, value: 150 }
"#;
