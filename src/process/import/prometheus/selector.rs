//! The leaves of an expression: a metric with matchers, over a range, as a query over `metrics`.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{Offset, VectorSelector};

use crate::process::import::prometheus::relation::{
    Collected, ENV, LeafShape, Refusal, Relation, columns, indented, literal, quoted, table_placeholder,
};

/// How samples of a range become one value.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeFunction {
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
    /// Its sum over series is itself over all of them.
    pub(super) is_additive: bool,
}

/// The sample that an instant sees.
pub(super) const LAST: RangeFunction = RangeFunction { name: "last", sql: "last(value)", is_additive: true };

/// A leaf, not yet grouped.
pub(super) struct Leaf {
    metric: String,
    matchers: Vec<Matcher>,
    range_ms: i64,
    ago_ms: i64,
}

impl Leaf {
    pub(super) fn of(selector: &VectorSelector, range_ms: i64) -> Result<Self, Refusal> {
        if selector.at.is_some() {
            return Err(Refusal("`@` fixes a time: a rule knows none but the evaluation's".into()));
        }
        if !selector.matchers.or_matchers.is_empty() {
            return Err(Refusal("`or` between matchers".into()));
        }
        let ago_ms = match &selector.offset {
            None => 0,
            Some(Offset::Pos(ago)) => ago.as_millis() as i64,
            Some(Offset::Neg(_)) => return Err(Refusal("a negative offset looks into the future".into())),
        };
        let matchers: Vec<Matcher> = selector.matchers.matchers.clone();
        let named = matchers.iter().find(|matcher| matcher.name == "__name__" && matches!(matcher.op, MatchOp::Equal));
        let metric = selector.name.clone().or_else(|| named.map(|matcher| matcher.value.clone()));
        if metric.is_none() && !matchers.iter().any(|matcher| matcher.name == "__name__") {
            return Err(Refusal("a selector without a metric's name would read every metric".into()));
        }
        let matchers = matchers.into_iter().filter(|matcher| metric.is_none() || matcher.name != "__name__").collect();
        Ok(Self { metric: metric.unwrap_or_default(), matchers, range_ms, ago_ms })
    }

    /// The labels that a matcher gives one value.
    pub(super) fn equal(&self) -> BTreeMap<String, String> {
        let equal = self.matchers.iter().filter(|matcher| matches!(matcher.op, MatchOp::Equal) && !matcher.value.is_empty());
        equal.map(|matcher| (matcher.name.clone(), matcher.value.clone())).collect()
    }

    pub(super) fn conditions(&self) -> String {
        let name = (!self.metric.is_empty()).then(|| format!("name = {}", literal(&self.metric)));
        let all: Vec<String> = name.into_iter().chain(self.matchers.iter().map(condition)).collect();
        all.join(" AND ")
    }

    /// Its table, and its shape, are noted.
    pub(super) fn table(&self, function: &'static str, collected: &mut Collected) -> String {
        collected.windows.insert((self.range_ms, self.ago_ms));
        let is_plain = |matcher: &&Matcher| matches!(matcher.op, MatchOp::Equal);
        collected.leaves.push(LeafShape {
            metric: self.metric.clone(),
            equal: self.equal(),
            is_odd: self.ago_ms != 0 || self.metric.is_empty() || !self.matchers.iter().all(|matcher| is_plain(&matcher)),
            function,
            range_ms: self.range_ms,
        });
        table_placeholder(self.range_ms, self.ago_ms)
    }

    /// A row for each series.
    pub(super) fn by_series(&self, function: RangeFunction, needed: &BTreeSet<String>, collected: &mut Collected) -> Relation {
        let labels: BTreeSet<String> = needed.iter().cloned().chain(self.equal().into_keys()).collect();
        self.relation(function, labels, true, collected)
    }

    /// A row for each group, whose series are added up.
    pub(super) fn summed(&self, function: RangeFunction, labels: BTreeSet<String>, collected: &mut Collected) -> Relation {
        self.relation(function, labels, false, collected)
    }

    fn relation(
        &self,
        function: RangeFunction,
        labels: BTreeSet<String>,
        by_series: bool,
        collected: &mut Collected,
    ) -> Relation {
        let table = self.table(function.name, collected);
        let select: Vec<String> = labels.iter().map(|label| format!("{} AS {}", label_of(label), quoted(label))).collect();
        let mut group: Vec<String> = labels.iter().map(|label| label_of(label)).collect();
        if by_series {
            group.push("series".into());
        }
        let select = select.into_iter().map(|column| format!("{column}, ")).collect::<String>();
        let (conditions, function, group) = (self.conditions(), function.sql, group.join(", "));
        let sql = format!(
            "SELECT {select}extract(epoch FROM max(ts)) AS sample_at, {function} AS value\nFROM {table}\nWHERE {conditions}\nGROUP BY {group}"
        );
        // A range without enough samples has no value.
        let columns = columns("", &labels).into_iter().map(|column| column + ", ").collect::<String>();
        let sql = format!("SELECT {columns}sample_at, value\nFROM (\n{}\n) s\nWHERE value IS NOT NULL", indented(&sql));
        Relation { sql, labels, is_unique: !by_series }
    }
}

/// A label of an event; of one that lacks it an empty text, as in Prometheus.
pub(super) fn label_of(label: &str) -> String {
    if label == ENV { "coalesce(env, '')".into() } else { format!("coalesce(labels[{}], '')", literal(label)) }
}

fn condition(matcher: &Matcher) -> String {
    let is_given = matches!(matcher.op, MatchOp::Equal) && !matcher.value.is_empty();
    let column = match matcher.name.as_str() {
        "__name__" => "name".into(),
        ENV if is_given => ENV.into(),
        name if is_given => format!("labels[{}]", literal(name)),
        name => label_of(name),
    };
    condition_on(&column, matcher)
}

/// The condition of a matcher on a column that holds the label.
pub(super) fn condition_on(column: &str, matcher: &Matcher) -> String {
    let value = &matcher.value;
    match &matcher.op {
        MatchOp::Equal => format!("{column} = {}", literal(value)),
        MatchOp::NotEqual => format!("{column} <> {}", literal(value)),
        MatchOp::Re(_) => format!("{column} ~ {}", literal(&anchored(value))),
        MatchOp::NotRe(_) => format!("{column} !~ {}", literal(&anchored(value))),
    }
}

/// Prometheus matches whole values.
fn anchored(pattern: &str) -> String {
    format!("^(?:{pattern})$")
}
