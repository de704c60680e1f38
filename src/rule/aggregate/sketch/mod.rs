//! DDSketch, the mergeable percentile sketch: which bucket a number falls into ([`bucket_index`]), the counts by bucket
//! ([`bucket_counts`], [`packed_bucket`]), and their form in checkpoints ([`encoding`]).

pub mod bucket_counts;
pub mod bucket_index;
pub mod encoding;
pub mod packed_bucket;
