//! Tests that the grouped accumulators made here answer what DataFusion's ungrouped ones answer, over any batches, panes and filters.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringViewArray, TimestampMillisecondArray, new_null_array,
};

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::EmitTo;
use proptest::prelude::*;

use crate::model::event::{Kind, LabelKeys, UTC};
use crate::rule::aggregate::grouped;
use crate::rule::exec::expression_chain::evaluate;
use crate::rule::lookup::table::Lookups;
use crate::rule::plan;
use crate::rule::sql::query;

/// The functions that have a grouped form from here, and some that go through the adapter.
const FUNCTIONS: [&str; 15] = [
    "count(DISTINCT host)",
    "count(DISTINCT CASE WHEN value > 0 THEN 'up' ELSE host END)",
    "count(DISTINCT value)",
    "first_value(value ORDER BY ts)",
    "last_value(value ORDER BY ts)",
    "last_value(host ORDER BY ts)",
    "first_value(host ORDER BY ts DESC)",
    "last_value(host ORDER BY CAST(ts AS BIGINT))",
    "last_value(value ORDER BY CAST(CAST(ts AS BIGINT) AS DOUBLE) DESC)",
    "last_value(host ORDER BY ts, value)",
    "covar_pop(value, value * value)",
    "regr_slope(value, value + 1)",
    "p95(value)",
    "avg(value)",
    "approx_distinct(host)",
];

/// Group, second, host, value, and whether a filter lets it pass.
type Row = (usize, i64, Option<u8>, Option<i8>, Option<bool>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let passes = prop_oneof![4 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)];
    prop::collection::vec((0..6_usize, 0..50_i64, prop::option::of(0..4_u8), prop::option::of(-3..4_i8), passes), 1..80)
}

fn batch(rows: &[Row]) -> RecordBatch {
    let schema = LabelKeys::default().schema(Kind::Metric);
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "ts" => Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1)).with_timezone(UTC)),
            "host" => Arc::new(rows.iter().map(|row| row.2.map(|h| format!("host-{h}.example"))).collect::<StringViewArray>()),
            "value" => Arc::new(rows.iter().map(|row| row.3.map(f64::from)).collect::<Float64Array>()),
            _ if *field.data_type() == DataType::Utf8View => Arc::new(StringViewArray::from(vec!["same"; rows.len()])),
            _ => new_null_array(field.data_type(), rows.len()),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

/// Equal, but for the last digits of what DataFusion sums up in plain floats.
fn near(a: &ScalarValue, b: &ScalarValue) -> bool {
    match (a, b) {
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) => (a - b).abs() <= 1e-9 * b.abs().max(1.0),
        (a, b) => a == b,
    }
}

fn planned(text: &str) -> plan::RulePlan {
    let context =
        plan::PlanContext { label_keys: &LabelKeys::default(), windows: &[], lookups: &Lookups::default(), instant: false };
    plan::plan(&query::parse(text).unwrap().statement, context).unwrap()
}

fn agrees(function: &str, panes: &[Vec<Vec<Row>>]) {
    let text = format!("SELECT service, {function} AS value FROM metrics GROUP BY service");
    let planned = planned(&text);
    let source = planned.aggregates().next().unwrap();
    let (column, arguments) = (&source.columns[0], source.columns[0].arguments());
    let filter_of = |rows: &[Row]| BooleanArray::from_iter(rows.iter().map(|row| row.4));
    let project = |rows: &[Row]| batch(rows);
    // Grouped: each pane's groups numbered by appearance and sealed, all merged.
    let mut merged = grouped(&column.function).unwrap();
    let mut known: Vec<usize> = Vec::new();
    let number = |known: &mut Vec<usize>, group: usize| {
        known.iter().position(|other| *other == group).unwrap_or_else(|| {
            known.push(group);
            known.len() - 1
        })
    };
    for pane in panes {
        let mut open = grouped(&column.function).unwrap();
        let mut local: Vec<usize> = Vec::new();
        for rows in pane {
            let groups: Vec<usize> = rows.iter().map(|row| number(&mut local, row.0)).collect();
            let values = evaluate(&arguments, &project(rows)).unwrap();
            open.update_batch(&values, &groups, Some(&filter_of(rows)), local.len()).unwrap();
        }
        let states = open.state(EmitTo::All).unwrap();
        let slots: Vec<usize> = local.iter().map(|group| number(&mut known, *group)).collect();
        merged.merge_batch(&states, &slots, known.len()).unwrap();
    }
    let answers = merged.evaluate(EmitTo::All).unwrap();
    // Ungrouped: all rows of one group at once, in the order in which they came.
    let all: Vec<Row> = panes.iter().flatten().flatten().copied().collect();
    for (slot, group) in known.iter().enumerate() {
        let of_group: Vec<Row> = all.iter().filter(|row| row.0 == *group && row.4 == Some(true)).copied().collect();
        let mut one = column.function.create_accumulator().unwrap();
        if !of_group.is_empty() {
            one.update_batch(&evaluate(&arguments, &project(&of_group)).unwrap()).unwrap();
        }
        let (answer, expected) = (ScalarValue::try_from_array(&answers, slot).unwrap(), one.evaluate().unwrap());
        assert!(near(&answer, &expected), "{function} of group {group}: {answer:?}, DataFusion answers {expected:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn grouped_and_ungrouped_forms_agree(panes in prop::collection::vec(prop::collection::vec(rows(), 1..3), 1..4)) {
        // Rows at one place: which of them is taken depends on their order, so there are none.
        let mut second = 0;
        let panes: Vec<Vec<Vec<Row>>> = panes
            .into_iter()
            .map(|pane| {
                let apart = |mut row: Row| { second += 1; row.1 = row.1 * 10_000 + second; row };
                let mut apart = apart;
                pane.into_iter().map(|rows| rows.into_iter().map(&mut apart).collect()).collect()
            })
            .collect();
        for function in FUNCTIONS {
            agrees(function, &panes);
        }
    }
}

#[test]
fn single_rows_become_states() {
    let rows: Vec<Row> = (0..12).map(|i| (i, i as i64, Some(i as u8 % 3), Some(i as i8), (i % 4 > 0).then_some(true))).collect();
    for function in FUNCTIONS {
        let text = format!("SELECT service, {function} AS value FROM metrics GROUP BY service");
        let planned = planned(&text);
        let column = &planned.aggregates().next().unwrap().columns[0];
        let whole = batch(&rows);
        let values = evaluate(&column.arguments(), &whole).unwrap();
        let filter = BooleanArray::from_iter(rows.iter().map(|row| row.4));
        let groups: Vec<usize> = rows.iter().map(|row| row.0 % 5).collect();
        let mut direct = grouped(&column.function).unwrap();
        direct.update_batch(&values, &groups, Some(&filter), 5).unwrap();
        let mut through_states = grouped(&column.function).unwrap();
        let states = direct.convert_to_state(&values, Some(&filter)).unwrap();
        through_states.merge_batch(&states, &groups, 5).unwrap();
        for emitted in [EmitTo::First(2), EmitTo::All] {
            let (one, other) = (direct.evaluate(emitted).unwrap(), through_states.evaluate(emitted).unwrap());
            assert_eq!(one.len(), other.len());
            for row in 0..one.len() {
                let answer = |column: &ArrayRef| ScalarValue::try_from_array(column, row).unwrap();
                assert!(near(&answer(&one), &answer(&other)), "{function}: {one:?} directly, {other:?} through states");
            }
        }
    }
}
