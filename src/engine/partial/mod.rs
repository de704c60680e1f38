//! Work shared by several processes: each worker counts its part of the events and hands on what it counted; one engine makes
//! alerts and incidents of it.
//!
//! A [`PartialResult`](result::PartialResult) is all that a worker found in a stretch of the stream: the times of its messages, one mark each; panes, whole
//! or not; other systems' alerts and observed calls, as they are. The engine puts the results of all partitions side by side
//! ([`partition_merge`]). As far as every worker has read, message follows message as in the stream. So time moves as in one process,
//! to the message, and the same revisions come out, whichever worker counted a message. A worker ([`partition_counter`]) knows nothing
//! of time and forgets what it has handed on.
//!
//! Idea: partial aggregation below an exchange (Gray et al., "Data Cube", 1997, on distributive and algebraic functions; the
//! combiner of Dean and Ghemawat, "MapReduce", OSDI 2004); time as a position that all inputs have reached, after Murray et al.,
//! "Naiad" (SOSP 2013).

pub mod partition_counter;
pub mod partition_merge;
pub mod result;
