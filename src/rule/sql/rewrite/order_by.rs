//! `ORDER BY sum(value)`: an aggregate that is also selected is ordered by its column, and one that is not becomes a column of a query below,
//! which the result leaves out.
//!
//! The planner reads `value` in `count(*) AS value … ORDER BY sum(value)` as the column of the result. In SQL it is the stream's.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, OrderByKind, Query, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins, Visit, Visitor,
};

use crate::model::event::label_column;
use crate::rule::sql::syntax_tree::{aggregate, column_name};

/// Rewrites the ORDER BY of one query.
pub fn rewrite(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order| &mut order.kind) else { return };
    let mut below = Vec::new();
    for key in keys.iter_mut() {
        let same = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if *expr == key.expr => Some(alias.clone()),
            _ => None,
        });
        if let Some(alias) = same {
            key.expr = Expr::Identifier(alias);
        } else if reads_hidden_column(&key.expr, &select.projection) {
            below.push(key);
        }
    }
    if below.is_empty() || select.distinct.is_some() {
        return;
    }
    let Some(columns) = select.projection.iter().map(outer_column).collect::<Option<Vec<_>>>() else { return };
    for (at, key) in below.into_iter().enumerate() {
        let alias = Ident::new(format!("order_key_{at}"));
        let expr = std::mem::replace(&mut key.expr, Expr::Identifier(alias.clone()));
        select.projection.push(SelectItem::ExprWithAlias { expr, alias });
    }
    let mut outer = select.as_ref().clone();
    outer.select_token = AttachedToken::empty();
    outer.projection = columns;
    (outer.selection, outer.having, outer.qualify) = (None, None, None);
    outer.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    let inner = Query {
        with: None,
        body: Box::new(SetExpr::Select(select.clone())),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    };
    let name = Ident::new("ordered");
    let alias = TableAlias { explicit: true, name, columns: Vec::new(), at: None };
    let derived = TableFactor::Derived { lateral: false, subquery: Box::new(inner), alias: Some(alias), sample: None };
    outer.from = vec![TableWithJoins { relation: derived, joins: Vec::new() }];
    **select = outer;
}

/// Whether an aggregate in a key reads a column whose name an alias of the result has as well.
fn reads_hidden_column(key: &Expr, projection: &[SelectItem]) -> bool {
    struct Hidden<'a> {
        projection: &'a [SelectItem],
        aggregates: usize,
    }
    impl Visitor for Hidden<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            self.aggregates += usize::from(aggregate(expr).is_some());
            let Expr::Identifier(column) = expr else { return ControlFlow::Continue(()) };
            let is_alias = |item: &SelectItem| match item {
                SelectItem::ExprWithAlias { alias, .. } => alias.value.eq_ignore_ascii_case(&column.value),
                _ => false,
            };
            match self.aggregates > 0 && self.projection.iter().any(is_alias) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }

        fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            self.aggregates -= usize::from(aggregate(expr).is_some());
            ControlFlow::Continue(())
        }
    }
    key.visit(&mut Hidden { projection, aggregates: 0 }).is_break()
}

/// The column of the result as the query above names it.
fn outer_column(item: &SelectItem) -> Option<SelectItem> {
    let name = match item {
        SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
        SelectItem::UnnamedExpr(expr @ Expr::CompoundFieldAccess { .. }) => {
            Ident::with_quote('"', label_column(&column_name(expr)?))
        }
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => name.clone(),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(path)) => path.last()?.clone(),
        _ => return None,
    };
    Some(SelectItem::UnnamedExpr(Expr::Identifier(name)))
}
