//! What windows hold: panes of aggregate state ([`pane`], [`pane_store`], [`pane_merge`]), sessions, raw rows where a plan needs them
//! ([`row_table`]), and which rules share a table ([`table_registry`]).

pub mod pane;
pub mod pane_merge;
pub mod pane_store;
pub mod row_table;
pub mod session;
pub mod table;
pub mod table_registry;
