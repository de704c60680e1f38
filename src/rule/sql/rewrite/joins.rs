//! A chain of joins with `USING` becomes one with `ON`: `FROM a JOIN b USING (env) JOIN c USING (env)`. The planner holds the column for ambiguous from
//! the second join on, though it is one column.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem, TableFactor,
    VisitMut, VisitorMut,
};

use crate::rule::sql::syntax_tree::{folded, last};

/// Rewrites the joins of one SELECT and the columns that they share.
pub fn rewrite(select: &mut Select) {
    let [from] = select.from.as_slice() else { return };
    if from.joins.len() < 2 {
        return;
    }
    // Which table each shared column is read of: the first.
    let mut owners: BTreeMap<String, Ident> = BTreeMap::new();
    let Some(first) = name_of(&from.relation) else { return };
    let mut conditions = Vec::new();
    for (at, join) in from.joins.iter().enumerate() {
        let Some(columns) = using(&join.join_operator) else { return };
        let Some(table) = name_of(&join.relation) else { return };
        let mut all: Option<Expr> = None;
        for column in columns {
            let Some(column) = last(column) else { return };
            let owner = match owners.get(&folded(column)) {
                Some(owner) => owner.clone(),
                None if at == 0 => first.clone(),
                // Which of the tables before has it is for the planner to find out.
                None => return,
            };
            let side = |table: &Ident| Box::new(Expr::CompoundIdentifier(vec![table.clone(), column.clone()]));
            let equal = Expr::BinaryOp { left: side(&owner), op: BinaryOperator::Eq, right: side(&table) };
            all = Some(match all {
                Some(all) => Expr::BinaryOp { left: Box::new(all), op: BinaryOperator::And, right: Box::new(equal) },
                None => equal,
            });
            owners.insert(folded(column), owner);
        }
        let Some(all) = all else { return };
        conditions.push(all);
    }
    let Some(from) = select.from.first_mut() else { return };
    for (join, condition) in from.joins.iter_mut().zip(conditions) {
        if let JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) = &mut join.join_operator
        {
            *constraint = JoinConstraint::On(condition);
        }
    }
    let mut qualify = Qualify { owners, queries: 0 };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            qualify.expr(expr);
        }
    }
    if let GroupByExpr::Expressions(groups, _) = &mut select.group_by {
        groups.iter_mut().for_each(|group| qualify.expr(group));
    }
    for condition in [&mut select.selection, &mut select.having, &mut select.qualify].into_iter().flatten() {
        qualify.expr(condition);
    }
}

/// The shared columns of a join in which those of the left side are never null for want of a partner.
fn using(operator: &JoinOperator) -> Option<&[ObjectName]> {
    match operator {
        JoinOperator::Join(JoinConstraint::Using(columns))
        | JoinOperator::Inner(JoinConstraint::Using(columns))
        | JoinOperator::Left(JoinConstraint::Using(columns))
        | JoinOperator::LeftOuter(JoinConstraint::Using(columns)) => Some(columns),
        _ => None,
    }
}

fn name_of(table: &TableFactor) -> Option<Ident> {
    match table {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, .. } => last(name).cloned(),
        _ => None,
    }
}

struct Qualify {
    owners: BTreeMap<String, Ident>,
    queries: usize,
}

impl Qualify {
    fn expr(&mut self, expr: &mut Expr) {
        if let ControlFlow::Break(()) = VisitMut::visit(expr, self) {
            tracing::debug!("the qualifier never breaks");
        }
    }
}

impl VisitorMut for Qualify {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.queries == 0
            && let Expr::Identifier(column) = expr
            && let Some(owner) = self.owners.get(&folded(column))
        {
            *expr = Expr::CompoundIdentifier(vec![owner.clone(), column.clone()]);
        }
        ControlFlow::Continue(())
    }
}
