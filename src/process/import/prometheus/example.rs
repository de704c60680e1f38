//! A test that is made from an expression: of a metric that is compared with a number, once beyond it and once on this side of it. What it
//! expects follows from the expression in PromQL, not from its translation.

use std::collections::BTreeSet;

use promql_parser::parser::token;
use promql_parser::parser::{BinaryExpr, Expr};

use crate::model::duration::format_ms;
use crate::model::severity::Severity;
use crate::model::time::MINUTE_MS;
use crate::process::import::prometheus::operators::without_parens;
use crate::process::import::prometheus::relation::{Collected, ENV, LeafShape};
use crate::process::import::prometheus::rule_file::RuleDefinition;

/// A file of tests.
pub(super) struct Example(pub(super) String);

/// The test, where the expression is simple enough.
pub(super) fn of(
    rule: &RuleDefinition,
    name: &str,
    severity: Severity,
    labels: &BTreeSet<String>,
    collected: &Collected,
) -> Option<Example> {
    let [leaf] = &collected.leaves[..] else { return None };
    let comparison = comparison(&rule.expr)?;
    let Expr::NumberLiteral(bound) = without_parens(&comparison.rhs) else { return None };
    if leaf.is_odd || !is_one_value(&comparison.lhs) {
        return None;
    }
    let (beyond, within) = around(comparison, bound.val)?;
    let (beyond, within) = (samples(leaf, beyond)?, samples(leaf, within)?);
    let labels: Vec<(String, String)> = labels
        .iter()
        .filter(|label| *label != ENV)
        .map(|label| (label.clone(), leaf.equal.get(label).cloned().unwrap_or_else(|| example_of(label))))
        .collect();
    let more = leaf.equal.iter().filter(|(label, _)| !labels.iter().any(|(known, _)| known == *label));
    let series: Vec<String> =
        labels.iter().map(|(k, v)| (k, v)).chain(more).map(|(key, value)| format!("{key}={value:?}")).collect();
    let series = format!("{}{{{}}}", leaf.metric, series.join(","));
    let expected: Vec<String> = labels.iter().map(|(key, value)| format!("{key}: {}", json(value))).collect();
    let fires_at = format_ms(leaf.range_ms + rule.for_ms + 2 * rule.interval_ms.unwrap_or(MINUTE_MS)).replace(' ', "");
    let samples_needed = (leaf.range_ms + rule.for_ms) / MINUTE_MS + 10;
    let series = json(&series);
    Some(Example(format!(
        "# Made from the expression when it was imported.\ninterval: 1m\ntests:\n  - name: beyond the threshold\n    series:\n      - \
         {{ series: {series}, values: '{beyond}x{samples_needed}' }}\n    expect:\n      - at: {fires_at}\n        rule: {name}\n        \
         alerts:\n          - {{ labels: {{ {} }}, severity: {severity} }}\n  - name: on this side of the threshold\n    series:\n      - \
         {{ series: {series}, values: '{within}x{samples_needed}' }}\n    expect:\n      - at: {fires_at}\n        silent: [{name}]\n",
        expected.join(", ")
    )))
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn comparison(expr: &Expr) -> Option<&BinaryExpr> {
    match without_parens(expr) {
        Expr::Binary(binary) if binary.modifier.as_ref().is_none_or(|modifier| !modifier.return_bool) => Some(binary),
        _ => None,
    }
}

/// Whether one series alone decides the value: through aggregates that leave a single value as it is.
fn is_one_value(expr: &Expr) -> bool {
    match without_parens(expr) {
        Expr::VectorSelector(_) => true,
        Expr::Call(call) => call.args.args.len() == 1 && matches!(without_parens(&call.args.args[0]), Expr::MatrixSelector(_)),
        Expr::Aggregate(aggregate) => {
            [token::T_SUM, token::T_AVG, token::T_MIN, token::T_MAX].contains(&aggregate.op.id()) && is_one_value(&aggregate.expr)
        }
        _ => false,
    }
}

/// A value for which the comparison holds, and one for which it does not.
fn around(comparison: &BinaryExpr, bound: f64) -> Option<(f64, f64)> {
    let far = (bound.abs() * 0.25).max(0.25);
    Some(match comparison.op.id() {
        token::T_GTR | token::T_GTE => (bound + far, bound - far),
        token::T_LSS | token::T_LTE => (bound - far, bound + far),
        token::T_EQLC => (bound, bound + 1.0),
        token::T_NEQ => (bound + 1.0, bound),
        _ => return None,
    })
}

/// Samples a minute apart that give this value, in the notation of promtool.
fn samples(leaf: &LeafShape, value: f64) -> Option<String> {
    let minutes = leaf.range_ms as f64 / MINUTE_MS as f64;
    match leaf.function {
        "last" | "avg" | "min" | "max" => Some(format!("{value}")),
        "rate" => (value >= 0.0).then(|| format!("0+{}", value * 60.0)),
        "increase" => (value >= 0.0).then(|| format!("0+{}", value / minutes)),
        _ => None,
    }
}

fn example_of(label: &str) -> String {
    if label == "instance" { "example:9100".into() } else { format!("example-{label}") }
}
