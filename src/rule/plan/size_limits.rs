//! How large the expressions and the texts of a rule may become.
//!
//! A few lines of SQL can ask for more than any machine has: a query over a query that doubles a column doubles it again, fifty
//! times over. So before a rule is planned in earnest, its parts are counted with all that stands below them, and how many times
//! its input a text can be.

use arrow::array::StringArray;
use arrow::compute::kernels::regexp::regexp_is_match_scalar;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion, TreeNodeVisitor};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};

use crate::model::limits::{EXPRESSION_NODES_MAX, PATTERN_BYTES_MAX, PLAN_NODES_MAX, TEXT_GROWTH_MAX, TREE_DEPTH_MAX};
use crate::rule::plan::stream_scan::literal;

/// Refuses a plan that is too large, or whose expressions or texts grow too large.
pub fn check(plan: &LogicalPlan) -> Result<()> {
    plan.visit_with_subqueries(&mut Shape { nodes: 0, levels: 0 })?;
    columns_of(plan).map(drop)
}

/// Counts a plan's parts, and how deep they are in each other.
struct Shape {
    nodes: usize,
    levels: usize,
}

impl<'n> TreeNodeVisitor<'n> for Shape {
    type Node = LogicalPlan;

    fn f_down(&mut self, _plan: &'n LogicalPlan) -> Result<TreeNodeRecursion> {
        (self.nodes, self.levels) = (self.nodes + 1, self.levels + 1);
        if self.nodes > PLAN_NODES_MAX {
            return plan_err!(
                "the query has more than {PLAN_NODES_MAX} parts once each WITH stands where it is used: write several rules"
            );
        }
        if self.levels > TREE_DEPTH_MAX {
            return plan_err!(
                "the query has more than {TREE_DEPTH_MAX} parts in each other once each WITH stands where it is used: write several rules"
            );
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn f_up(&mut self, _plan: &'n LogicalPlan) -> Result<TreeNodeRecursion> {
        self.levels -= 1;
        Ok(TreeNodeRecursion::Continue)
    }
}

/// What stands below an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    /// Its parts, those of columns that it stands on among them.
    nodes: usize,
    /// How deep they are in each other.
    levels: usize,
    /// How many times the longest text of the input its text can be.
    texts: usize,
}

const PLAIN: Size = Size { nodes: 1, levels: 1, texts: 1 };

impl Size {
    fn max(self, other: Size) -> Size {
        Size { nodes: self.nodes.max(other.nodes), levels: self.levels.max(other.levels), texts: self.texts.max(other.texts) }
    }
}

/// The sizes of a plan's columns.
fn columns_of(plan: &LogicalPlan) -> Result<Vec<Size>> {
    let inputs = plan.inputs().into_iter().map(columns_of).collect::<Result<Vec<_>>>()?;
    let schemas: Vec<&DFSchema> = plan.inputs().into_iter().map(|input| input.schema().as_ref()).collect();
    let below: Vec<(&DFSchema, &Vec<Size>)> = schemas.into_iter().zip(&inputs).collect();
    let mine = plan.expressions().iter().map(|expr| size_of(expr, &below)).collect::<Result<Vec<_>>>()?;
    let wanted = plan.schema().fields().len();
    // What an aggregate yields is no expression any more, but a value.
    let value = |size: &Size| Size { nodes: 1, levels: 1, ..*size };
    let columns = match plan {
        LogicalPlan::Projection(_) => mine,
        LogicalPlan::Aggregate(_) => mine.iter().map(value).collect(),
        LogicalPlan::Window(_) => inputs.iter().flatten().copied().chain(mine.iter().map(value)).collect(),
        LogicalPlan::Union(_) => {
            let column = |at: usize| inputs.iter().filter_map(|input| input.get(at)).copied().fold(PLAIN, Size::max);
            (0..wanted).map(column).collect()
        }
        _ => inputs.iter().flatten().copied().collect(),
    };
    if columns.len() == wanted {
        return Ok(columns);
    }
    Ok(vec![columns.into_iter().chain(inputs.into_iter().flatten()).fold(PLAIN, Size::max); wanted])
}

fn size_of(expr: &Expr, below: &[(&DFSchema, &Vec<Size>)]) -> Result<Size> {
    let mut sizing = Sizing { below, open: Vec::new(), done: Vec::new() };
    expr.visit(&mut sizing)?;
    Ok(sizing.done.pop().unwrap_or(PLAIN))
}

/// Visits an expression's parts before the whole.
struct Sizing<'a> {
    below: &'a [(&'a DFSchema, &'a Vec<Size>)],
    /// For each expression around this place: how many sizes were known before it.
    open: Vec<usize>,
    done: Vec<Size>,
}

impl<'n> TreeNodeVisitor<'n> for Sizing<'_> {
    type Node = Expr;

    fn f_down(&mut self, _expr: &'n Expr) -> Result<TreeNodeRecursion> {
        self.open.push(self.done.len());
        Ok(TreeNodeRecursion::Continue)
    }

    fn f_up(&mut self, expr: &'n Expr) -> Result<TreeNodeRecursion> {
        let parts = self.done.split_off(self.open.pop().unwrap_or(0));
        let size = self.whole(expr, &parts)?;
        if size.nodes > EXPRESSION_NODES_MAX {
            return plan_err!(
                "an expression has more than {EXPRESSION_NODES_MAX} parts, with the columns that it stands on written out: compute less, or write several rules"
            );
        }
        if size.levels > TREE_DEPTH_MAX {
            return plan_err!(
                "an expression has more than {TREE_DEPTH_MAX} operators in each other, with the columns that it stands on written out: compute less, or write several rules"
            );
        }
        if size.texts > TEXT_GROWTH_MAX {
            return plan_err!(
                "a text can become more than {TEXT_GROWTH_MAX} times as long as what it is made of: a rule may not build texts without bound"
            );
        }
        self.done.push(size);
        Ok(TreeNodeRecursion::Continue)
    }
}

impl Sizing<'_> {
    fn whole(&self, expr: &Expr, parts: &[Size]) -> Result<Size> {
        let nodes = parts.iter().fold(1_usize, |sum, part| sum.saturating_add(part.nodes));
        let levels = 1 + parts.iter().map(|part| part.levels).max().unwrap_or(0);
        let joined = || parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.texts)).max(1);
        let longest = || parts.iter().map(|part| part.texts).max().unwrap_or(1);
        let texts = match expr {
            Expr::Column(column) => {
                let known = self.below.iter().find_map(|(schema, sizes)| {
                    let at = schema.maybe_index_of_column(column)?;
                    sizes.get(at).copied()
                });
                return Ok(known.unwrap_or(PLAIN));
            }
            Expr::ScalarSubquery(query) => {
                let size = columns_of(&query.subquery)?.into_iter().fold(PLAIN, Size::max);
                return Ok(Size { nodes: 1, levels: 1, ..size });
            }
            Expr::Exists(query) => columns_of(&query.subquery.subquery).map(|_| 1)?,
            Expr::InSubquery(query) => columns_of(&query.subquery.subquery).map(|_| 1)?,
            Expr::BinaryExpr(binary) => match binary.op {
                Operator::StringConcat => joined(),
                Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch => {
                    compiles(&binary.right).map(|()| 1)?
                }
                Operator::LikeMatch | Operator::ILikeMatch | Operator::NotLikeMatch | Operator::NotILikeMatch => {
                    like(&binary.right).map(|()| 1)?
                }
                _ => 1,
            },
            Expr::ScalarFunction(call) => match (call.name(), call.args.as_slice()) {
                ("replace", [_, from, to, ..]) => {
                    let (Some(from), Some(to)) = (literal(from), literal(to)) else {
                        return plan_err!(
                            "replace() with a column in place of a text can build texts without bound: write out what to look for and what to write"
                        );
                    };
                    let times = if from.is_empty() { 1 + to.len() } else { to.len().div_ceil(from.len()).max(1) };
                    parts.first().map_or(1, |text| text.texts).saturating_mul(times)
                }
                ("regexp_replace", [_, matched, to, ..]) => {
                    pattern(matched)?;
                    let Some(to) = literal(to) else {
                        return plan_err!(
                            "regexp_replace() with a column in place of a text can build texts without bound: write out what to write"
                        );
                    };
                    parts.first().map_or(1, |text| text.texts).saturating_mul(1 + to.len())
                }
                (name, [_, matched]) if name.starts_with("regexp_") => compiles(matched).map(|()| joined())?,
                // Flags change what a pattern means.
                (name, [_, matched, ..]) if name.starts_with("regexp_") => pattern(matched).map(|_| joined())?,
                _ => joined(),
            },
            Expr::SimilarTo(similar) => pattern(&similar.pattern).map(|_| 1)?,
            Expr::Like(it) => like(&it.pattern).map(|()| 1)?,
            _ => longest(),
        };
        Ok(Size { nodes, levels, texts })
    }
}

/// A regular expression is compiled once where it is a plain text, and at each row where it is not.
fn pattern(expr: &Expr) -> Result<String> {
    match literal(expr) {
        Some(pattern) if pattern.len() <= PATTERN_BYTES_MAX => Ok(pattern),
        Some(_) => plan_err!("a regular expression of more than {PATTERN_BYTES_MAX} bytes takes too long to compile"),
        None => plan_err!("a regular expression is computed anew for each row: write it out as one text in quotes"),
    }
}

/// A short one may stand for a long one, so it is tried whether it can be compiled.
fn compiles(expr: &Expr) -> Result<()> {
    match regexp_is_match_scalar(&StringArray::from(vec![""]), &pattern(expr)?, None) {
        Ok(_) => Ok(()),
        Err(error) if error.to_string().contains("CompiledTooBig") => {
            plan_err!("a regular expression is too large with its repetitions written out: a{{1,1000}} is a thousand letters")
        }
        Err(error) => {
            let text = error.to_string();
            let why = text.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("what is wrong is not known");
            plan_err!("a regular expression cannot be read: {why}")
        }
    }
}

/// LIKE becomes a regular expression as well.
fn like(expr: &Expr) -> Result<()> {
    match literal(expr) {
        Some(pattern) if pattern.len() <= PATTERN_BYTES_MAX => Ok(()),
        Some(_) => plan_err!("a pattern of LIKE of more than {PATTERN_BYTES_MAX} bytes takes too long to compile"),
        None => plan_err!(
            "a pattern of LIKE is computed anew for each row: write it out as one text in quotes; starts_with(), ends_with() and contains() compare columns"
        ),
    }
}
