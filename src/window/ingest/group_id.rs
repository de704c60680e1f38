//! Ids of groups: dense numbers that stand for the keys of a GROUP BY list within one key space.

/// The id of a key within its space.
pub type GroupId = u32;
/// The id of a row whose key found no room in the space.
pub const NO_GROUP: GroupId = GroupId::MAX;
