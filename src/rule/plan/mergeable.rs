//! Which rules may count their rows in several processes: those whose aggregates come to the same whoever counts which row.

use arrow::datatypes::DataType;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use crate::rule::Rule;
use crate::rule::aggregate::first_last_value::can_order_by;
use crate::rule::aggregate::series::function::named;
use crate::rule::plan::stream_scan::Leaf;

/// Why a rule's rows cannot be counted by several processes, and what to write instead. `None` where they can.
pub fn complaint(rule: &Rule) -> Option<String> {
    let aggregates = rule.plan.leaves.iter().flat_map(|leaf| match leaf {
        Leaf::Aggregate(source) => source.columns.as_slice(),
        Leaf::Rows(_) => &[],
    });
    let mut reasons = aggregates.filter_map(|column| depends_on_order(&column.function));
    reasons.next()
}

fn depends_on_order(function: &AggregateFunctionExpr) -> Option<String> {
    let name = function.fun().name();
    let arguments = function.expressions();
    let kind = function.field().data_type().clone();
    let exact = |kind: &DataType| kind.is_integer() || kind.is_decimal();
    let merges = match name {
        "count" | "min" | "max" | "approx_distinct" => true,
        series if named(series).is_some() => true,
        "bit_and" | "bit_or" | "bit_xor" | "bool_and" | "bool_or" => true,
        "sum" | "avg" | "mean" => exact(&kind) || !function.is_distinct(),
        "first_value" | "last_value" => {
            let placed = function.state_fields().ok().and_then(|fields| Some(can_order_by(fields.get(1)?.data_type())));
            let read = matches!(kind, DataType::Float64 | DataType::Utf8View);
            if read && !function.is_reversed() && function.order_bys().len() == 1 && placed == Some(true) {
                return None;
            }
            return Some(format!("{name}() must be of a number or a text with one ORDER BY, of a time or a number"));
        }
        percentile => percentile.strip_prefix('p').is_some_and(|digits| digits.chars().all(|c| c.is_ascii_digit())),
    };
    if merges {
        return None;
    }
    let distinct = if function.is_distinct() { "DISTINCT " } else { "" };
    let what = if arguments.is_empty() { String::new() } else { "…".to_string() };
    Some(format!(
        "{name}({distinct}{what}) depends in its last digits on the order of the rows: use count, sum, avg, min, max, \
         percentiles (p95) or last_value(… ORDER BY ts)"
    ))
}
