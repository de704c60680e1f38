//! What windows hold: panes of aggregate state ([`pane`], [`pane_store`], [`pane_merge`]), sessions, raw rows where a plan needs them
//! ([`row_table`]), and which rules share a table ([`table_registry`]).

pub mod aggregate_table;
pub mod ingest_counts;
pub mod leaf_window;
pub mod pane;
pub mod pane_codec;
pub mod pane_layout;
pub mod pane_merge;
pub mod pane_store;
pub mod row_table;
pub mod session;
pub mod shared_table;
pub mod table_registry;
