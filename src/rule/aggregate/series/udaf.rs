//! The functions over series as DataFusion's aggregate functions, and as accumulators of panes.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;

use crate::rule::aggregate::over_window::OverWindow;
use crate::rule::aggregate::series::accumulator::{OneGroup, SeriesAccumulator};
use crate::rule::aggregate::series::function::{ALL, HIDDEN, SeriesFunction, named};
use crate::rule::aggregate::series::segment::{Asked, Figure};
use crate::rule::aggregate::series::trend::Line;

/// The functions for the planner.
pub fn all() -> Vec<Arc<AggregateUDF>> {
    ALL.into_iter().map(|(name, function)| Arc::new(AggregateUDF::from(SeriesUdaf::new(name, function)))).collect()
}

/// The name of a function that cannot be evaluated where the bounds of its window are not known. `None` where it can.
pub fn unknown_window(function: &AggregateFunctionExpr) -> Option<&str> {
    let name = function.fun().name();
    named(name).filter(|known| known.needs_window(function.expressions().len())).map(|_| name)
}

/// The accumulator of a pane; `None` where it is another function.
pub fn over_window(function: &AggregateFunctionExpr) -> Result<Option<Box<dyn OverWindow>>> {
    let Some(known) = named(function.fun().name()) else { return Ok(None) };
    Ok(Some(match question(known, &function.expressions())? {
        QuestionKind::Figure(figure) => Box::new(SeriesAccumulator::new(figure)),
        QuestionKind::Line(line) => Box::new(SeriesAccumulator::new(line)),
    }))
}

/// What is asked of the samples of a group.
enum QuestionKind {
    Figure(Figure),
    Line(Line),
}

fn question(function: SeriesFunction, arguments: &[Arc<dyn PhysicalExpr>]) -> Result<QuestionKind> {
    let extrapolated = function.extrapolates() && arguments.len() > 1 + HIDDEN.len();
    let asked = match function {
        SeriesFunction::Increase => Asked::Increase,
        SeriesFunction::Rate => Asked::Rate,
        SeriesFunction::Delta => Asked::Delta,
        SeriesFunction::Resets => Asked::Resets,
        SeriesFunction::Last => Asked::Last,
        SeriesFunction::HistogramQuantile => Asked::Quantile(number(arguments.first())?),
        SeriesFunction::Deriv => return Ok(QuestionKind::Line(Line::Slope)),
        SeriesFunction::Predict => return Ok(QuestionKind::Line(Line::After { seconds: number(arguments.get(1))? })),
    };
    Ok(QuestionKind::Figure(Figure { asked, extrapolated }))
}

/// The number that an argument is. The rewrite has made sure that it is one.
fn number(argument: Option<&Arc<dyn PhysicalExpr>>) -> Result<f64> {
    match argument.and_then(|argument| argument.downcast_ref::<Literal>()).map(Literal::value) {
        Some(ScalarValue::Float64(Some(number))) => Ok(*number),
        _ => exec_err!("an argument that must be a number is none"),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SeriesUdaf {
    name: &'static str,
    function: SeriesFunction,
    signature: Signature,
}

impl SeriesUdaf {
    fn new(name: &'static str, function: SeriesFunction) -> Self {
        Self { name, function, signature: function.signature() }
    }
}

impl AggregateUDFImpl for SeriesUdaf {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            return plan_err!("{}(DISTINCT …) is not known: a sample that is there twice counts once", self.name);
        }
        Ok(vec![Arc::new(Field::new(format!("{}[series]", args.name), DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(match question(self.function, args.exprs)? {
            QuestionKind::Figure(figure) => Box::new(OneGroup(SeriesAccumulator::new(figure))),
            QuestionKind::Line(line) => Box::new(OneGroup(SeriesAccumulator::new(line))),
        })
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(match question(self.function, args.exprs)? {
            QuestionKind::Figure(figure) => Box::new(SeriesAccumulator::new(figure)),
            QuestionKind::Line(line) => Box::new(SeriesAccumulator::new(line)),
        })
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}
