//! `squelch explain RULE`: how a rule is evaluated.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::model::duration::format_ms;
use crate::model::limits::{QUARANTINE_MS, ROWS_RETAINED_BYTES_MAX, ROWS_RETAINED_MAX};
use crate::process::report::front_matter_keys;
use crate::process::report::rule_cost;
use crate::rule::Rule;
use crate::rule::aggregate::series::function::as_written;
use crate::rule::check::LoadedRules;
use crate::rule::definition::window_spec::WindowSpec;
use crate::rule::plan::stream_scan::Leaf;
use crate::window::evaluator::{Evaluator, RuleIndex};
use crate::window::limits::WindowLimits;

/// How the rule called `name`, or in the file `name`, is evaluated, and where the metrics of a process that runs are given, what it
/// has cost there. `None` where there is no such rule.
pub(crate) fn rule(name: &str, book: LoadedRules, metrics: Option<&str>) -> Result<Option<String>> {
    let evaluator = Evaluator::new(book.rules.into_iter().map(Arc::new).collect(), WindowLimits::default(), || 0)?;
    let wanted = |rule: &Rule| rule.name() == name || rule.file.path == Path::new(name);
    let Some(index) = (0..evaluator.len()).find(|index| wanted(evaluator.rule(*index))) else { return Ok(None) };
    let mut text = describe(&evaluator, index);
    if let Some(metrics) = metrics {
        let name = evaluator.rule(index).name();
        match rule_cost::so_far(metrics, name) {
            Some(so_far) => text.push_str(&so_far),
            None => bail!("these metrics say nothing of {name}: the process that gave them runs other rules"),
        }
    }
    Ok(Some(text))
}

fn describe(evaluator: &Evaluator, index: RuleIndex) -> String {
    let rule = evaluator.rule(index);
    let front = &rule.front;
    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{name:<12} {value}").is_ok();
    line("rule", format!("{} ({})", front.rule, rule.file.path.display()));
    line("severity", front.severity.to_string());
    line("window", front_matter_keys::span(front));
    for window in &front.windows {
        line("and window", front_matter_keys::named_window(window));
    }
    if let Some(time) = front_matter_keys::time(front) {
        line("time", time);
    }
    let firing = if front.for_ms == 0 {
        "at the first breach".into()
    } else {
        format!("when the breach has lasted {}", format_ms(front.for_ms))
    };
    if let Some(active) = front_matter_keys::active(rule) {
        line("active", active);
    }
    if let Some(first) = front_matter_keys::waits(front) {
        line("begins", first);
    }
    line("fires", firing);
    let over = if front.window_spec == WindowSpec::Instant {
        format!("{} after the last such event", format_ms(front.keep_firing_for_ms))
    } else if front.keep_firing_for_ms == 0 {
        "at the first evaluation without it".into()
    } else {
        format!("{} after the first evaluation without it", format_ms(front.keep_firing_for_ms))
    };
    line("resolves", over);
    if let Some(judge) = &front.detector {
        line("breaches", front_matter_keys::breaches(judge));
    }
    let labels: Vec<&str> = rule.output.label_names().collect();
    line("labels", labels.join(", "));
    let usual = ["service", "host"].into_iter().find(|label| labels.contains(label)).map(String::from);
    line("entity", front.entity.clone().or(usual).unwrap_or_else(|| "none: its alerts are about no entity".into()));
    if let Some(peer) = &front.peer {
        line("peer", format!("{peer}: the other end of the edge that its alerts are about"));
    }
    for at in 0..rule.plan.leaves.len() {
        leaf(&mut text, evaluator, index, at);
    }
    let when = match front.window_spec {
        WindowSpec::Instant => "of each event",
        _ => "anew at each evaluation, over the rows of the above",
    };
    writeln!(text, "\n{when}:\n{}", indent(&front_matter_keys::plain(&rule.plan.post_aggregate_text))).ok();
    text
}

/// One thing that the rule stands on: how it is kept, and with whom it is shared.
fn leaf(text: &mut String, evaluator: &Evaluator, index: RuleIndex, at: usize) {
    let rule = evaluator.rule(index);
    let leaf = &rule.plan.leaves[at];
    let stream = leaf.stream();
    let (what, how) = match leaf {
        Leaf::Aggregate(_) if matches!(rule.front.window_spec, WindowSpec::Session { .. }) => {
            ("aggregate", "incremental, state per group and session, no rows kept")
        }
        Leaf::Aggregate(_) => ("aggregate", "incremental, state per group and pane, no rows kept"),
        Leaf::Rows(_) if rule.front.window_spec == WindowSpec::Instant => {
            ("events", "each looked at alone, kept until its second is over")
        }
        Leaf::Rows(_) => ("rows", "kept as they came for the whole window"),
    };
    let named = stream.window.as_ref().map_or(String::new(), |name| format!("{name}."));
    writeln!(text, "\n{what} {} over {named}{}: {how}", at + 1, stream.kind.table()).ok();
    let mut line = |name: &str, value: String| writeln!(text, "  {name:<12} {value}").is_ok();
    let (pane_ms, window_ms, ago_ms) = evaluator.panes_of(index, at);
    if let Leaf::Rows(source) = leaf
        && rule.front.window_spec != WindowSpec::Instant
    {
        line("because", format!("its rows are needed by {}", source.reason));
        line(
            "at most",
            format!(
                "{} million rows, {} MB: over it the rule rests for {}",
                ROWS_RETAINED_MAX / 1_000_000,
                ROWS_RETAINED_BYTES_MAX >> 20,
                format_ms(QUARANTINE_MS)
            ),
        );
    }
    if stream.window.is_some() {
        let ago = if ago_ms == 0 { String::new() } else { format!(", ending {} before the evaluation", format_ms(ago_ms)) };
        line("window", format!("{}{ago}", format_ms(window_ms)));
    }
    match &stream.names {
        Some(names) => line("routed by", format!("name: {}", names.iter().cloned().collect::<Vec<_>>().join(", "))),
        None => line("routed by", format!("nothing: every row of {} is looked at", stream.kind.table())),
    };
    for filter in &stream.filters {
        line("keeps", filter.clone());
    }
    if let Leaf::Aggregate(source) = leaf {
        line("groups", if source.text.is_empty() { "none: one group".into() } else { source.text.clone() });
        for column in &source.columns {
            let computes = column.function.human_display().unwrap_or(column.function.name());
            line("computes", front_matter_keys::plain(&as_written(computes)));
        }
        let panes = window_ms / pane_ms;
        if rule.front.every_ms != pane_ms || stream.window.is_some() {
            line("panes", format!("{panes} of {}", format_ms(pane_ms)));
        }
    }
    let earlier = (0..at).filter(|other| evaluator.same_table(index, at, *other)).map(|other| format!("{what} {}", other + 1));
    let others = evaluator.shared_with(index, at).into_iter().map(String::from);
    let all: Vec<String> = earlier.chain(others).collect();
    line("shared with", if all.is_empty() { "no other rule".into() } else { all.join(", ") });
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
