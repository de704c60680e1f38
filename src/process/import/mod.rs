//! Rule files of other systems as squelch's: files that a person owns from then on.

pub(crate) mod prometheus;
