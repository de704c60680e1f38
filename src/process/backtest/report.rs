//! A backtest for people and as JSON.

use serde_json::{Value, json};

use crate::model::duration::format_ms;
use crate::model::time::format_rfc3339;
use crate::process::backtest::difference::Difference;
use crate::process::backtest::faults::Fault;
use crate::process::backtest::pages::{Page, RunResult};
use crate::process::report::plural::count;

/// A threshold that was tried, and what came of it.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) threshold: String,
    pub(crate) alerts_of_rule: u64,
    pub(crate) pages: usize,
    pub(crate) faults_seen: usize,
}

/// Everything that a backtest found.
pub(crate) struct Backtest<'b> {
    pub(crate) old: Option<&'b RunResult>,
    pub(crate) new: &'b RunResult,
    pub(crate) difference: Option<Difference<'b>>,
    pub(crate) faults: &'b [Fault],
    pub(crate) trials: &'b [Trial],
}

fn page_line(page: &Page) -> String {
    format!("{}  {:<8}  {}  {}", format_rfc3339(page.at), page.severity, page.env, page.title)
}

fn moved_by(old: &Page, new: &Page) -> String {
    let by = match new.at - old.at {
        0 => String::new(),
        later if later > 0 => format!("{} later", format_ms(later)),
        earlier => format!("{} earlier", format_ms(-earlier)),
    };
    let severity =
        if old.severity == new.severity { String::new() } else { format!("{} instead of {}", new.severity, old.severity) };
    [by, severity].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// For people.
pub(crate) fn text(backtest: &Backtest<'_>) -> String {
    let mut text = String::new();
    let mut line = |shown: String| {
        text.push_str(&shown);
        text.push('\n');
    };
    let figures = |result: &RunResult| [result.alerts, result.incidents, result.pages.len() as u64, result.notifications];
    let new = figures(backtest.new);
    match backtest.old.map(figures) {
        Some(old) => {
            line(format!("{:<14} {:>8} {:>8}", "", "old", "new"));
            for (name, (old, new)) in ["alerts", "incidents", "pages", "notifications"].iter().zip(old.into_iter().zip(new)) {
                line(format!("{name:<14} {old:>8} {new:>8}"));
            }
        }
        None => {
            for (name, number) in ["alerts", "incidents", "pages", "notifications"].iter().zip(new) {
                line(format!("{name:<14} {number:>8}"));
            }
        }
    }
    match &backtest.difference {
        Some(difference) => {
            for (title, pages) in [("Pages that go", &difference.gone), ("Pages that come", &difference.come)] {
                if !pages.is_empty() {
                    line(format!("\n{title}"));
                    pages.iter().for_each(|page| line(format!("  {}", page_line(page))));
                }
            }
            if !difference.moved.is_empty() {
                line("\nPages that move".into());
                difference.moved.iter().for_each(|(old, new)| line(format!("  {}: {}", page_line(new), moved_by(old, new))));
            }
            for (old, new) in &difference.regrouped {
                line(format!("\n{} become {}", count(old.len(), "page"), new.len()));
                old.iter().for_each(|page| line(format!("  - {}", page_line(page))));
                new.iter().for_each(|page| line(format!("  + {}", page_line(page))));
            }
            line(format!("\n{} the same", count(difference.same.len(), "page")));
        }
        None => {
            line("\nPages".into());
            backtest.new.pages.iter().for_each(|page| line(format!("  {}", page_line(page))));
        }
    }
    if !backtest.faults.is_empty() {
        line("\nFirst page of each fault".into());
        for fault in backtest.faults {
            let after = |result: &RunResult| match fault.first_page(&result.pages) {
                Some(page) => format!("after {}", format_ms(page.at - fault.from)),
                None => "none".into(),
            };
            let old = backtest.old.map_or(String::new(), |old| format!(" (old: {})", after(old)));
            line(format!("  {}: {}{old}", fault.name, after(backtest.new)));
        }
    }
    if !backtest.trials.is_empty() {
        line(format!("\n{:>12} {:>8} {:>8} {:>8}", "threshold", "alerts", "pages", "faults"));
        for trial in backtest.trials {
            let (threshold, alerts, pages, faults) = (&trial.threshold, trial.alerts_of_rule, trial.pages, trial.faults_seen);
            line(format!("{threshold:>12} {alerts:>8} {pages:>8} {faults:>8}  {}", "#".repeat(pages.min(60))));
        }
    }
    text
}

fn page_json(page: &Page) -> Value {
    json!({
        "id": page.id.to_string(),
        "at": format_rfc3339(page.at),
        "severity": page.severity.as_str(),
        "env": page.env,
        "title": page.title,
        "cause": page.cause,
        "entities": page.entities,
    })
}

fn result_json(result: &RunResult) -> Value {
    json!({
        "alerts": result.alerts,
        "incidents": result.incidents,
        "pages": result.pages.len(),
        "notifications": result.notifications,
        "alerts_by_rule": result.by_rule,
    })
}

/// For programs.
pub(crate) fn to_json(backtest: &Backtest<'_>) -> Value {
    let list = |pages: &[&Page]| pages.iter().map(|page| page_json(page)).collect::<Vec<_>>();
    let pair = |(old, new): &(&Page, &Page)| json!({ "old": page_json(old), "new": page_json(new) });
    let difference = backtest.difference.as_ref().map(|difference| {
        let regrouped = difference.regrouped.iter().map(|(old, new)| json!({ "old": list(old), "new": list(new) }));
        json!({
            "gone": list(&difference.gone),
            "come": list(&difference.come),
            "moved": difference.moved.iter().map(pair).collect::<Vec<_>>(),
            "regrouped": regrouped.collect::<Vec<_>>(),
            "same": difference.same.len(),
        })
    });
    let fault_json = |fault: &Fault| {
        let seconds = |result: &RunResult| fault.first_page(&result.pages).map(|page| (page.at - fault.from) as f64 / 1e3);
        json!({ "name": fault.name, "new_after_seconds": seconds(backtest.new), "old_after_seconds": backtest.old.and_then(seconds) })
    };
    let trial_json = |trial: &Trial| {
        json!({
            "threshold": trial.threshold,
            "alerts": trial.alerts_of_rule,
            "pages": trial.pages,
            "faults_seen": trial.faults_seen,
        })
    };
    json!({
        "old": backtest.old.map(result_json),
        "new": result_json(backtest.new),
        "pages": backtest.new.pages.iter().map(page_json).collect::<Vec<_>>(),
        "difference": difference,
        "faults": backtest.faults.iter().map(fault_json).collect::<Vec<_>>(),
        "what_if": backtest.trials.iter().map(trial_json).collect::<Vec<_>>(),
    })
}
