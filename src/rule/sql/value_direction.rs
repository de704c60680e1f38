//! Whether a rule breaches where its value is high or where it is low, as its SQL compares it: `HAVING avg(value) < 10` is about too
//! little. Of two rows with the same labels, that says which one is worse.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, Select, SelectItem, SetExpr, Statement};

use crate::rule::sql::query;

/// The column that is an alert's value.
const VALUE: &str = "value";

/// Whether every comparison of the value in the outermost query asks for less than something. A rule without one counts as asking for
/// more.
pub fn lower_is_worse(sql: &str) -> bool {
    let Ok(parsed) = query::parse(sql) else { return false };
    let Statement::Query(query) = &parsed.statement else { return false };
    let mut asks_for_less = Vec::new();
    of_query(query, &mut asks_for_less);
    !asks_for_less.is_empty() && asks_for_less.iter().all(|less| *less)
}

fn of_query(query: &Query, asks_for_less: &mut Vec<bool>) {
    of_body(&query.body, asks_for_less);
}

fn of_body(body: &SetExpr, asks_for_less: &mut Vec<bool>) {
    match body {
        SetExpr::Select(select) => of_select(select, asks_for_less),
        SetExpr::Query(query) => of_query(query, asks_for_less),
        SetExpr::SetOperation { left, right, .. } => {
            of_body(left, asks_for_less);
            of_body(right, asks_for_less);
        }
        _ => {}
    }
}

fn of_select(select: &Select, asks_for_less: &mut Vec<bool>) {
    let value = select.projection.iter().find_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } if alias.value == VALUE => Some(expr),
        SelectItem::UnnamedExpr(expr @ Expr::Identifier(name)) if name.value == VALUE => Some(expr),
        _ => None,
    });
    let Some(value) = value.map(bare) else { return };
    for condition in [&select.having, &select.selection].into_iter().flatten() {
        of_condition(condition, value, asks_for_less);
    }
}

fn of_condition(condition: &Expr, value: &Expr, asks_for_less: &mut Vec<bool>) {
    let Expr::BinaryOp { left, op, right } = bare(condition) else { return };
    let less = match op {
        BinaryOperator::And | BinaryOperator::Or => {
            of_condition(left, value, asks_for_less);
            of_condition(right, value, asks_for_less);
            return;
        }
        BinaryOperator::Lt | BinaryOperator::LtEq => true,
        BinaryOperator::Gt | BinaryOperator::GtEq => false,
        _ => return,
    };
    if bare(left) == value {
        asks_for_less.push(less);
    } else if bare(right) == value {
        asks_for_less.push(!less);
    }
}

fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => bare(inner),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::lower_is_worse;

    #[test]
    fn the_comparison_of_the_value_says_which_end_is_bad() {
        for (rest, lower) in [
            ("avg(value) AS value FROM metrics GROUP BY host HAVING avg(value) < 10", true),
            ("avg(value) AS value FROM metrics GROUP BY host HAVING value <= 10 AND count(*) > 3", true),
            ("avg(value) AS value FROM metrics GROUP BY host HAVING 10 > (avg(value))", true),
            ("avg(value) AS value FROM metrics GROUP BY host HAVING avg(value) > 10", false),
            ("avg(value) AS value FROM metrics GROUP BY host HAVING avg(value) > 10 OR avg(value) < 1", false),
            ("avg(value) AS value FROM metrics GROUP BY host HAVING count(*) < 3", false),
            ("free AS value FROM (SELECT host, min(value) AS free FROM metrics GROUP BY host) t WHERE free < 5", true),
        ] {
            assert_eq!(lower_is_worse(&format!("SELECT host, {rest}")), lower, "{rest}");
        }
        let union = "SELECT host, min(value) AS value FROM metrics GROUP BY host HAVING min(value) < 5";
        assert!(lower_is_worse(&format!("{union} UNION ALL {union}")));
        assert!(!lower_is_worse("no SQL"));
    }
}
