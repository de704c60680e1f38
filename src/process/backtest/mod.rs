//! Two sets of rules over the same events: whom each would have notified of what ([`pages`]), how one differs from the other
//! ([`difference`]), how soon each saw the faults that are known ([`faults`]), and how that reads ([`report`]).

pub(crate) mod difference;
pub(crate) mod faults;
pub(crate) mod pages;
pub(crate) mod report;
