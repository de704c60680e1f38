//! Rewrites what PostgreSQL and its relatives have and the planner has not, or reads otherwise, to forms that it plans right.
//!
//! It works on the syntax tree, where the place of each part is known, before anything is planned. What cannot be rewritten is an error
//! with that place.

pub mod build;
pub mod functions;
pub mod joins;
pub mod json;
pub mod local_time;
pub mod order_by;
pub mod patterns;
pub mod regexes;
pub mod series;
pub mod time_zone;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, Select, Statement, VisitMut, VisitorMut};

use crate::model::diagnostic::Diagnostic;
use crate::model::local_time::Zone;

/// Rewrites a statement whose local times are those of a zone; what cannot be rewritten is an error.
pub fn rewrite(text: &str, statement: &mut Statement, zone: Zone) -> Vec<Diagnostic> {
    let mut rewriter = Rewriter { text, zone, errors: Vec::new() };
    if let ControlFlow::Break(()) = VisitMut::visit(statement, &mut rewriter) {
        tracing::debug!("the rewriter never breaks");
    }
    rewriter.errors
}

struct Rewriter<'a> {
    text: &'a str,
    /// Of `local_hour(ts)`.
    zone: Zone,
    errors: Vec<Diagnostic>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        order_by::rewrite(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        joins::rewrite(select);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        for rewrite in
            [patterns::rewrite, time_zone::rewrite, functions::rewrite, json::rewrite, regexes::rewrite, series::rewrite]
        {
            if let Err(error) = rewrite(self.text, expr) {
                self.errors.push(error);
            }
        }
        if let Err(error) = local_time::rewrite(self.text, expr, self.zone) {
            self.errors.push(error);
        }
        ControlFlow::Continue(())
    }
}
