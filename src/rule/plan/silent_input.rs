//! Whether a rule has an answer where no event came: `count(*) = 0` without GROUP BY has, a sum by service has not. A rule that has none
//! need not be evaluated over empty windows; one that has must be, since silence may be just what it looks for.

use datafusion::common::JoinType;
use datafusion::logical_expr::LogicalPlan;

/// Whether `plan` may have rows where its leaves have none but those of which `leaf` says so, by name.
pub(super) fn answers_silence(plan: &LogicalPlan, leaf: &dyn Fn(&str) -> bool) -> bool {
    let of = |plan: &LogicalPlan| answers_silence(plan, leaf);
    match plan {
        LogicalPlan::TableScan(scan) => leaf(scan.table_name.table()),
        LogicalPlan::Values(_) => true,
        LogicalPlan::EmptyRelation(relation) => relation.produce_one_row,
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty() || of(&aggregate.input),
        LogicalPlan::Join(join) => {
            let (left, right) = (of(&join.left), of(&join.right));
            match join.join_type {
                JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => left && right,
                JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark => left,
                JoinType::Right | JoinType::RightAnti | JoinType::RightMark => right,
                JoinType::Full => left || right,
            }
        }
        other => other.inputs().into_iter().any(of),
    }
}
