//! From an expression of PromQL to a relation. What is refused here is what SQL over windows cannot say, or would say otherwise.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::parser::token;
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorSelector};

use crate::model::time::MINUTE_MS;
use crate::process::import::prometheus::matching::{Matching, agree, semi_join};
use crate::process::import::prometheus::operators::{Operator, operator, plain_function, range_function, without_parens};
use crate::process::import::prometheus::relation::{
    Collected, ENV, Refusal, Relation, columns, indented, literal, number, quoted,
};
use crate::process::import::prometheus::selector::{LAST, Leaf, RangeFunction, condition_on};

/// How far Prometheus looks back for the sample of an instant.
const LOOKBACK_MS: i64 = 5 * MINUTE_MS;
/// Recording rules that build on each other.
const RECORDS_DEPTH_MAX: usize = 16;

/// A recording rule: its expression, and labels that it adds.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) expr: Expr,
    pub(super) labels: BTreeMap<String, String>,
}

/// Translates expressions.
pub(super) struct Compiler<'r> {
    /// Recording rules by name; several may record one name.
    pub(super) records: &'r BTreeMap<String, Vec<Record>>,
    pub(super) collected: Collected,
    depth: usize,
}

type Labels = BTreeSet<String>;
type Translated = Result<Relation, Refusal>;

fn refuse<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(why.into()))
}

impl<'r> Compiler<'r> {
    pub(super) fn new(records: &'r BTreeMap<String, Vec<Record>>) -> Self {
        Self { records, collected: Collected::default(), depth: 0 }
    }

    fn note(&mut self, note: impl Into<String>) {
        self.collected.notes.insert(note.into());
    }

    /// Translates a vector. `needed` are the labels that whatever stands above it names.
    pub(super) fn vector(&mut self, expr: &Expr, needed: &Labels) -> Translated {
        match expr {
            Expr::Paren(inner) => self.vector(&inner.expr, needed),
            Expr::VectorSelector(selector) => self.instant(selector, needed),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, needed),
            Expr::Call(call) => self.call(call, needed),
            Expr::Binary(binary) => self.binary(binary, needed),
            Expr::Unary(unary) => Ok(self.vector(&unary.expr, needed)?.map("-value", None)),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {
                refuse("a number alone is no vector: an alert on it would always fire")
            }
            Expr::Subquery(_) => {
                refuse("a subquery (`[1h:5m]`) evaluates at steps within one evaluation: write a rule over the plain range")
            }
            Expr::MatrixSelector(_) => refuse("a range without a function"),
            Expr::Extension(_) => refuse("an extension of PromQL"),
        }
    }

    fn instant(&mut self, selector: &VectorSelector, needed: &Labels) -> Translated {
        if let Some(records) = selector.name.as_ref().and_then(|name| self.records.get(name)) {
            return self.recorded(selector, records, needed);
        }
        if selector.name.as_deref().is_some_and(|name| name.starts_with("ALERTS")) {
            return refuse("ALERTS are Prometheus's own record of alerts: correlation knows alerts that fire together");
        }
        Ok(Leaf::of(selector, LOOKBACK_MS)?.by_series(LAST, needed, &mut self.collected))
    }

    /// A recording rule in place of its name.
    fn recorded(&mut self, selector: &VectorSelector, records: &[Record], needed: &Labels) -> Translated {
        let name = selector.name.clone().unwrap_or_default();
        if self.depth >= RECORDS_DEPTH_MAX {
            return refuse(format!("the recording rule {name} records itself"));
        }
        if selector.offset.is_some() || selector.at.is_some() {
            return refuse(format!("the past of the recording rule {name}: only what it records now is known"));
        }
        let matchers = &selector.matchers.matchers;
        let inner: Labels = needed.iter().cloned().chain(matchers.iter().map(|matcher| matcher.name.clone())).collect();
        self.depth += 1;
        let mut all = Vec::new();
        for record in records {
            let inner: Labels = inner.iter().filter(|label| !record.labels.contains_key(*label)).cloned().collect();
            let relation = self.vector(&record.expr, &inner)?;
            all.push(with_constants(relation, &record.labels));
        }
        self.depth -= 1;
        self.note(format!("The recording rule {name} stands in it as it is written; it is computed here, not read."));
        let relation = union(all);
        let mut conditions = Vec::new();
        for matcher in matchers {
            let column = if relation.labels.contains(&matcher.name) { quoted(&matcher.name) } else { "''".into() };
            conditions.push(condition_on(&column, matcher));
        }
        Ok(if conditions.is_empty() { relation } else { relation.map("value", Some(&conditions.join(" AND "))) })
    }

    fn aggregate(&mut self, aggregate: &AggregateExpr, needed: &Labels) -> Translated {
        let sql = match aggregate.op.id() {
            token::T_SUM => "sum(value)",
            token::T_AVG => "avg(value)",
            token::T_MIN => "min(value)",
            token::T_MAX => "max(value)",
            token::T_COUNT => "count(*) * 1.0",
            token::T_GROUP => "1.0",
            token::T_STDDEV => "stddev_pop(value)",
            token::T_STDVAR => "var_pop(value)",
            _ => {
                let name = aggregate.op.to_string();
                return refuse(format!(
                    "`{name}` keeps single series of a group, or their exact ranks: write it with a window function"
                ));
            }
        };
        let mut labels: Labels = match &aggregate.modifier {
            None => Labels::new(),
            Some(LabelModifier::Include(labels)) => labels.labels.iter().cloned().collect(),
            Some(LabelModifier::Exclude(without)) => {
                let kept: Labels = needed.iter().filter(|label| !without.labels.contains(label)).cloned().collect();
                let named = kept.iter().filter(|label| *label != ENV).cloned().collect::<Vec<_>>().join(", ");
                self.note(format!("`without`: grouped by the labels that the rule names ({named})."));
                kept
            }
        };
        labels.insert(ENV.into());
        if aggregate.op.id() == token::T_SUM
            && let Some((leaf, function)) = self.leaf_of(&aggregate.expr)?
            && function.is_additive
        {
            return Ok(leaf.summed(function, labels, &mut self.collected));
        }
        let inner = self.vector(&aggregate.expr, &labels)?;
        let labels: Labels = labels.intersection(&inner.labels).cloned().collect();
        let names = columns("", &labels);
        let (select, group) = match names.is_empty() {
            true => (String::new(), "\nHAVING count(*) > 0".to_string()),
            false => (names.join(", ") + ", ", format!("\nGROUP BY {}", names.join(", "))),
        };
        let sql =
            format!("SELECT {select}max(sample_at) AS sample_at, {sql} AS value\nFROM (\n{}\n) a{group}", indented(&inner.sql));
        Ok(Relation { sql, labels, is_unique: true })
    }

    /// A metric or a function of its range, where the expression is nothing else.
    fn leaf_of(&mut self, expr: &Expr) -> Result<Option<(Leaf, RangeFunction)>, Refusal> {
        match expr {
            Expr::Paren(inner) => self.leaf_of(&inner.expr),
            Expr::VectorSelector(selector) if !self.is_recorded(selector) => Ok(Some((Leaf::of(selector, LOOKBACK_MS)?, LAST))),
            Expr::Call(call) => match range_function(call.func.name) {
                Some(function) => Ok(Some((self.range(call)?, function))),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn is_recorded(&self, selector: &VectorSelector) -> bool {
        selector.name.as_ref().is_some_and(|name| self.records.contains_key(name) || name.starts_with("ALERTS"))
    }

    /// The range that a function reads.
    fn range(&mut self, call: &Call) -> Result<Leaf, Refusal> {
        let name = call.func.name;
        if name == "irate" {
            self.note("`irate` looks at the last two samples of the range; `rate` of the whole range stands for it.");
        }
        match call.args.args.last().map(|argument| without_parens(argument)) {
            Some(Expr::MatrixSelector(range)) => {
                if self.is_recorded(&range.vs) {
                    return refuse(format!(
                        "`{name}` over the past of the recording rule {}",
                        range.vs.name.clone().unwrap_or_default()
                    ));
                }
                Leaf::of(&range.vs, range.range.as_millis() as i64)
            }
            Some(Expr::Subquery(_)) => refuse(format!("`{name}` over a subquery evaluates at steps within one evaluation")),
            _ => refuse(format!("`{name}` without a range")),
        }
    }

    fn call(&mut self, call: &Call, needed: &Labels) -> Translated {
        let name = call.func.name;
        let argument = |at: usize| call.args.args.get(at).map(|argument| without_parens(argument));
        if let Some(function) = range_function(name) {
            return Ok(self.range(call)?.by_series(function, needed, &mut self.collected));
        }
        if let Some(sql) = plain_function(name) {
            let Some(inner) = argument(0) else { return refuse(format!("`{name}` without a vector")) };
            return Ok(self.vector(inner, needed)?.map(sql, None));
        }
        match (name, argument(0), argument(1)) {
            ("sort" | "sort_desc", Some(inner), _) => self.vector(inner, needed),
            ("clamp_min", Some(inner), Some(bound)) => self.clamped(inner, bound, "greatest", needed),
            ("clamp_max", Some(inner), Some(bound)) => self.clamped(inner, bound, "least", needed),
            ("absent", Some(Expr::VectorSelector(selector)), _) if !self.is_recorded(selector) => {
                let leaf = Leaf::of(selector, LOOKBACK_MS)?;
                Ok(self.absent(&leaf))
            }
            ("absent_over_time", Some(Expr::MatrixSelector(range)), _) if !self.is_recorded(&range.vs) => {
                let leaf = Leaf::of(&range.vs, range.range.as_millis() as i64)?;
                Ok(self.absent(&leaf))
            }
            ("absent" | "absent_over_time", ..) => {
                refuse("`absent` of anything but a metric: name the metric that must be there")
            }
            ("predict_linear", Some(Expr::MatrixSelector(range)), Some(seconds)) if !self.is_recorded(&range.vs) => {
                let seconds = self.scalar(seconds)?;
                self.predicted(range, &seconds, needed)
            }
            ("histogram_quantile", Some(quantile), Some(buckets)) => self.histogram_quantile(quantile, buckets, needed),
            ("vector" | "scalar" | "time", ..) => refuse(format!("`{name}()` is a vector without a metric")),
            ("label_replace" | "label_join", ..) => {
                refuse(format!("`{name}` makes labels: write them as columns, with regexp_replace"))
            }
            ("changes", ..) => refuse("`changes` counts changes of a gauge: there is no such function over a window"),
            _ => refuse(format!("`{name}` has no counterpart")),
        }
    }

    fn clamped(&mut self, inner: &Expr, bound: &Expr, function: &str, needed: &Labels) -> Translated {
        let bound = self.scalar(bound)?;
        Ok(self.vector(inner, needed)?.map(&format!("{function}(value, {bound})"), None))
    }

    fn absent(&mut self, leaf: &Leaf) -> Relation {
        let table = leaf.table("absent", &mut self.collected);
        let equal = leaf.equal();
        let select: String = equal.iter().map(|(label, value)| format!("{} AS {}, ", literal(value), quoted(label))).collect();
        let count = format!("SELECT count(*) AS samples, max(ts) AS newest\nFROM {table}\nWHERE {}", leaf.conditions());
        let sql = format!(
            "SELECT {select}extract(epoch FROM newest) AS sample_at, 1.0 AS value\nFROM (\n{}\n) a\nWHERE samples = 0",
            indented(&count)
        );
        Relation { sql, labels: equal.into_keys().collect(), is_unique: true }
    }

    fn predicted(&mut self, range: &promql_parser::parser::MatrixSelector, seconds: &str, needed: &Labels) -> Translated {
        let leaf = Leaf::of(&range.vs, range.range.as_millis() as i64)?;
        let marker = RangeFunction { name: "predict", sql: "predict(value, SECONDS)", is_additive: false };
        let relation = leaf.by_series(marker, needed, &mut self.collected);
        Ok(Relation { sql: relation.sql.replace("predict(value, SECONDS)", &format!("predict(value, {seconds})")), ..relation })
    }

    fn histogram_quantile(&mut self, quantile: &Expr, buckets: &Expr, needed: &Labels) -> Translated {
        let quantile = self.scalar(quantile)?;
        let (ranged, by) = match without_parens(buckets) {
            Expr::Aggregate(sum) if sum.op.id() == token::T_SUM => match &sum.modifier {
                Some(LabelModifier::Include(labels)) => {
                    (without_parens(&sum.expr), Some(labels.labels.iter().cloned().collect::<Labels>()))
                }
                _ => return refuse("`histogram_quantile` of a sum that is not `by (le, …)`"),
            },
            other => (other, None),
        };
        let Expr::Call(call) = ranged else {
            return refuse("`histogram_quantile` of anything but `rate` or `increase` of buckets");
        };
        if !matches!(call.func.name, "rate" | "increase" | "irate") {
            return refuse(format!("`histogram_quantile` of `{}`: it takes `rate` or `increase` of buckets", call.func.name));
        }
        let leaf = self.range(call)?;
        let mut labels: Labels = by.unwrap_or_else(|| needed.iter().cloned().chain(leaf.equal().into_keys()).collect());
        labels.remove("le");
        labels.insert(ENV.into());
        let marker = RangeFunction {
            name: "histogram_quantile",
            sql: "histogram_quantile(QUANTILE, labels['le'], value)",
            is_additive: false,
        };
        let relation = leaf.summed(marker, labels, &mut self.collected);
        Ok(Relation { sql: relation.sql.replace("QUANTILE", &quantile), ..relation })
    }

    /// A number, as SQL. `time()` is the time of the newest sample.
    fn scalar(&mut self, expr: &Expr) -> Result<String, Refusal> {
        match expr {
            Expr::Paren(inner) => Ok(format!("({})", self.scalar(&inner.expr)?)),
            Expr::NumberLiteral(literal) => number(literal.val),
            Expr::Unary(unary) => Ok(format!("(-{})", self.scalar(&unary.expr)?)),
            Expr::Call(call) if call.func.name == "time" => {
                self.note("`time()` is the time of the newest sample: a rule reads no clock.");
                Ok("sample_at".into())
            }
            Expr::Binary(binary) => match operator(binary.op) {
                Some(Operator::Arithmetic(form)) => {
                    Ok(format!("({})", form.apply(&self.scalar(&binary.lhs)?, &self.scalar(&binary.rhs)?)))
                }
                _ => refuse("a comparison of two numbers"),
            },
            _ => refuse("a number that is computed from a vector (`scalar`): join the vector instead"),
        }
    }

    fn binary(&mut self, binary: &BinaryExpr, needed: &Labels) -> Translated {
        let matching = Matching::of(binary.modifier.as_ref());
        if matching.has_fill {
            return refuse("`fill` of values for series without a partner");
        }
        let is_number = |expr: &Expr| expr.value_type() == ValueType::Scalar;
        let Some(operator) = operator(binary.op) else { return self.set(binary, &matching, needed) };
        match (is_number(&binary.lhs), is_number(&binary.rhs)) {
            (true, true) => refuse("a comparison of two numbers: an alert on it would always fire, or never"),
            (false, true) => {
                let bound = self.scalar(&binary.rhs)?;
                Ok(with_number(self.vector(&binary.lhs, needed)?, &operator, "value", &bound, matching.is_bool))
            }
            (true, false) => {
                let bound = self.scalar(&binary.lhs)?;
                Ok(with_number(self.vector(&binary.rhs, needed)?, &operator, &bound, "value", matching.is_bool))
            }
            (false, false) => self.matched(binary, &operator, &matching, needed),
        }
    }

    /// Two vectors, element by element.
    fn matched(&mut self, binary: &BinaryExpr, operator: &Operator, matching: &Matching, needed: &Labels) -> Translated {
        let (first, second) = if matching.is_swapped { (&binary.rhs, &binary.lhs) } else { (&binary.lhs, &binary.rhs) };
        let first = self.vector(first, &matching.needed_first(needed, matching.group.is_some()))?;
        let second = self.vector(second, &matching.needed_second(needed))?;
        let keys = matching.keys(&first, &second);
        let on = agree(&keys, &first, &second);
        let (left, right) = if matching.is_swapped { ("r.value", "l.value") } else { ("l.value", "r.value") };
        let labels: Labels = match &matching.group {
            Some(_) => first.labels.clone(),
            None => keys.intersection(&first.labels).cloned().collect(),
        };
        let more: Labels = matching.group.iter().flatten().filter(|label| second.labels.contains(*label)).cloned().collect();
        let labels: Labels = labels.difference(&more).cloned().collect();
        let (value, filter) = operator.on(left, right, matching.is_bool);
        let value = if filter.is_some() { left.to_string() } else { value };
        let mut select = columns("l", &labels);
        select.extend(columns("r", &more));
        select.push("greatest(l.sample_at, r.sample_at) AS sample_at".into());
        select.push(format!("{value} AS value"));
        let filter = filter.map_or(String::new(), |filter| format!("\nWHERE {filter}"));
        let sql = format!(
            "SELECT {}\nFROM (\n{}\n) l\nJOIN (\n{}\n) r ON {on}{filter}",
            select.join(", "),
            indented(&first.sql),
            indented(&second.sql)
        );
        Ok(Relation { sql, labels: labels.union(&more).cloned().collect(), is_unique: first.is_unique && second.is_unique })
    }

    fn set(&mut self, binary: &BinaryExpr, matching: &Matching, needed: &Labels) -> Translated {
        if binary.lhs.value_type() != ValueType::Vector || binary.rhs.value_type() != ValueType::Vector {
            return refuse(format!("`{}` of a number", binary.op));
        }
        let first = self.vector(&binary.lhs, &matching.needed_first(needed, true))?;
        let is_or = binary.op.id() == token::T_LOR;
        let second = if is_or { matching.needed_first(needed, true) } else { matching.needed_second(needed) };
        let second = self.vector(&binary.rhs, &second)?;
        let keys = matching.keys(&first, &second);
        match binary.op.id() {
            token::T_LAND => Ok(semi_join(&first, &second, &keys, true)),
            token::T_LUNLESS => Ok(semi_join(&first, &second, &keys, false)),
            token::T_LOR => {
                let rest = semi_join(&second, &first, &keys, false);
                Ok(union(vec![first, rest]))
            }
            _ => refuse(format!("the operator `{}`", binary.op)),
        }
    }
}

fn with_number(relation: Relation, operator: &Operator, left: &str, right: &str, is_bool: bool) -> Relation {
    match operator.on(left, right, is_bool) {
        (_, Some(filter)) => relation.map("value", Some(&filter)),
        (value, None) => relation.map(&value, None),
    }
}

/// Labels that a recording rule adds.
fn with_constants(relation: Relation, constants: &BTreeMap<String, String>) -> Relation {
    if constants.is_empty() {
        return relation;
    }
    let labels: Labels = relation.labels.iter().filter(|label| !constants.contains_key(*label)).cloned().collect();
    let mut select = columns("", &labels);
    select.extend(constants.iter().map(|(label, value)| format!("{} AS {}", literal(value), quoted(label))));
    select.extend(["sample_at".into(), "value".into()]);
    let sql = format!("SELECT {}\nFROM (\n{}\n) c", select.join(", "), indented(&relation.sql));
    Relation { sql, labels: labels.into_iter().chain(constants.keys().cloned()).collect(), is_unique: relation.is_unique }
}

/// All rows of all relations. A label that one does not have is an empty text.
fn union(mut all: Vec<Relation>) -> Relation {
    if all.len() == 1 {
        return all.remove(0);
    }
    let labels: Labels = all.iter().flat_map(|relation| relation.labels.iter().cloned()).collect();
    let part = |relation: &Relation| {
        let column =
            |label: &String| if relation.labels.contains(label) { quoted(label) } else { format!("'' AS {}", quoted(label)) };
        let mut select: Vec<String> = labels.iter().map(column).collect();
        select.extend(["sample_at".into(), "value".into()]);
        format!("SELECT {}\nFROM (\n{}\n) u", select.join(", "), indented(&relation.sql))
    };
    let sql = all.iter().map(part).collect::<Vec<_>>().join("\nUNION ALL\n");
    Relation { sql, is_unique: false, labels }
}
