//! Who owns what: the lookup `owners` of the rules in force gives revisions the teams of their entities.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::incident::revision::Revision;
use crate::rule::Rule;

/// Teams by entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Teams(BTreeMap<Arc<str>, Arc<str>>);

impl Teams {
    /// Those that rules bring along: all of them have the same lookup.
    pub(super) fn of<'r>(rules: impl IntoIterator<Item = &'r Arc<Rule>>) -> Self {
        let owners = rules.into_iter().flat_map(|rule| &rule.lookups).find_map(|table| table.owners());
        Self(owners.unwrap_or_default())
    }

    /// Adds to revisions the teams of the entities that they are about.
    pub(super) fn add_to(&self, revisions: &mut [Revision]) {
        for revision in revisions.iter_mut().filter(|_| !self.0.is_empty()) {
            let alerts = revision.alerts.iter().chain(&revision.changed).filter_map(|alert| alert.entity.as_ref());
            let entities = revision.entities.iter().map(|(entity, _)| entity).chain(alerts);
            let cause = revision.candidates.first().map(|cause| &cause.entity);
            let teams = entities.chain(cause).filter_map(|entity| self.0.get_key_value(entity));
            revision.teams = teams.map(|(entity, team)| (Arc::clone(entity), Arc::clone(team))).collect();
        }
    }
}
