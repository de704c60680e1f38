//! Floor 2: incidents. Which alerts belong together ([`link_score`]) and where to look for them ([`candidate_index`]), which entity is
//! the cause ([`root_cause`]; of an edge, which end: [`edge_blame`]), when a person is notified ([`notify`]), of what nobody
//! is to be notified ([`silence`]), and all open incidents ([`store`]). What comes out is a [`revision`]. Pure: no clock, no I/O.

pub mod candidate_index;
pub mod co_occurrence;
pub mod command_answer;
pub mod correlation_params;
pub mod edge_blame;
pub mod entity_ids;
pub mod evidence;
pub mod handling;
pub mod id;
pub mod invariants;
pub mod link;
pub mod link_score;
pub mod notify;
pub mod revision;
pub mod root_cause;
pub mod silence;
pub mod status;
pub mod store;
pub mod tally;
