//! What runs at each evaluation, above the windowed aggregates: mostly plain expressions ([`expression_chain`]), sometimes a DataFusion
//! plan ([`post_aggregate`], [`sequential_exec`]) within a budget of rows ([`row_budget`]).

pub mod expression_chain;
pub mod post_aggregate;
pub mod row_budget;
pub mod sequential_exec;
