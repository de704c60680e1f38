//! Aggregate functions of our own, made for panes: a state a group that is small, merges in any order, and costs a batch its
//! rows: [`percentile`] (over [`sketch`], [`buckets`], [`sealed`]), and [`exact`] sums; both by [`per_group`].

pub mod buckets;
pub mod exact;
pub mod per_group;
pub mod percentile;
pub mod sealed;
pub mod sketch;
