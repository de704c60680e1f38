//! Functions over series: `increase(value)` becomes `increase(value, series, temporality, ts)`, since samples are assigned to series and put in
//! order by these columns. They are read of the table that the value is read of: `increase(m.value, m.series, m.temporality, m.ts)`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned, UnaryOperator, Value,
    ValueWithSpan, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::model::diagnostic::Diagnostic;
use crate::rule::aggregate::series::function::{HIDDEN, PROMETHEUS, SeriesFunction, named};
use crate::rule::sql::places::span_bytes;
use crate::rule::sql::rewrite::build;
use crate::rule::sql::syntax_tree::last;

/// Rewrites one expression, if it is such a function.
pub fn rewrite(text: &str, expr: &mut Expr) -> Result<(), Diagnostic> {
    let Expr::Function(function) = expr else { return Ok(()) };
    let Some((name, span)) = last(&function.name).map(|name| (name.value.to_lowercase(), name.span)) else { return Ok(()) };
    let Some(known) = named(&name) else { return Ok(()) };
    if function.over.is_some() {
        let message = format!("{name}() OVER (…) is not known");
        let hint = format!("group by what the series have in common: {} … GROUP BY service", known.usage());
        return Err(Diagnostic::new(span_bytes(text, span), message, hint));
    }
    let Some(arguments) = written(function) else { return Err(wrong_arguments(text, span, &name, known)) };
    let value = match (known, arguments.as_slice()) {
        (SeriesFunction::HistogramQuantile, [quantile, _, value]) => {
            let place = span_bytes(text, quantile.span());
            let number = constant(quantile).filter(|number| (0.0..=1.0).contains(number)).ok_or_else(|| {
                let message = format!("the quantile of {name}() must be a number from 0 to 1");
                Diagnostic::new(place, message, format!("write {}", known.usage()))
            })?;
            let value = value.clone();
            set(function, 0, number_at(number, span));
            value
        }
        (SeriesFunction::Predict, [value, seconds]) => {
            let place = span_bytes(text, seconds.span());
            let number = constant(seconds).ok_or_else(|| {
                let message = "the seconds of predict() must be a number that is written out".to_string();
                Diagnostic::new(place, message, format!("write {}", known.usage()))
            })?;
            let value = value.clone();
            set(function, 1, number_at(number, span));
            value
        }
        (SeriesFunction::HistogramQuantile | SeriesFunction::Predict, _) => {
            return Err(wrong_arguments(text, span, &name, known));
        }
        (_, [value]) => value.clone(),
        (_, [value, option]) if known.extrapolates() => {
            if build::as_text(option).is_none_or(|(option, _)| option != PROMETHEUS) {
                let message = format!("the second argument of {name}() can only be 'prometheus'");
                let hint = format!("write {}", known.usage());
                return Err(Diagnostic::new(span_bytes(text, option.span()), message, hint));
            }
            value.clone()
        }
        _ => return Err(wrong_arguments(text, span, &name, known)),
    };
    let table = table_of(&value);
    if let FunctionArguments::List(list) = &mut function.args {
        list.args.extend(HIDDEN.map(|column| {
            let column = Ident::with_span(span, column);
            let column = match &table {
                Some(table) => Expr::CompoundIdentifier(table.iter().cloned().chain([column]).collect()),
                None => Expr::Identifier(column),
            };
            FunctionArg::Unnamed(FunctionArgExpr::Expr(column))
        }));
    }
    Ok(())
}

fn wrong_arguments(text: &str, span: Span, name: &str, known: SeriesFunction) -> Diagnostic {
    let message = format!("{name}() does not take these arguments");
    Diagnostic::new(span_bytes(text, span), message, format!("write {}", known.usage()))
}

/// The arguments of a call, where all of them are plain expressions.
fn written(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let plain = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().map(plain).collect::<Option<Vec<_>>>().filter(|_| list.clauses.is_empty())
}

fn set(function: &mut Function, at: usize, expr: Expr) {
    if let FunctionArguments::List(list) = &mut function.args
        && let Some(arg) = list.args.get_mut(at)
    {
        *arg = FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    }
}

/// A number as a float, which a whole one is not.
fn number_at(number: f64, span: Span) -> Expr {
    let value = Value::Number(format!("{:?}", number.abs()), false);
    let expr = Expr::Value(ValueWithSpan { value, span });
    if number < 0.0 { Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(expr) } } else { expr }
}

/// The number that an expression of numbers comes to.
fn constant(expr: &Expr) -> Option<f64> {
    let number = match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) => number.parse().ok()?,
        Expr::Nested(inner) => constant(inner)?,
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => -constant(expr)?,
        Expr::BinaryOp { left, op, right } => {
            let (left, right): (f64, f64) = (constant(left)?, constant(right)?);
            match op {
                BinaryOperator::Plus => left + right,
                BinaryOperator::Minus => left - right,
                BinaryOperator::Multiply => left * right,
                BinaryOperator::Divide => left / right,
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(number).filter(|number: &f64| number.is_finite())
}

/// The table that the first column in an expression is read of, where the author names it.
fn table_of(expr: &Expr) -> Option<Vec<Ident>> {
    struct FirstColumn(Option<Vec<Ident>>);
    impl Visitor for FirstColumn {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(_) => ControlFlow::Break(()),
                Expr::CompoundIdentifier(path) => {
                    self.0 = path.split_last().map(|(_, table)| table.to_vec());
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let mut first = FirstColumn(None);
    let _found = expr.visit(&mut first);
    first.0
}
