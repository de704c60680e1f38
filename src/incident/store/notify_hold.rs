//! The first page is held back while it may still name the wrong one: something that the failing depend on may be failing too,
//! and its rule only waits to be sure.

use std::sync::Arc;

use crate::incident::entity_ids::EntityId;
use crate::incident::store::incident::Incident;
use crate::incident::store::{IncidentStore, Pending};
use crate::model::time::TimestampMs;

impl IncidentStore {
    /// A dependency of what fails that may be failing, and who depends on it; by name the first. Only asked where the first page is
    /// due: nothing else is held back.
    pub(crate) fn held_by(&self, at: TimestampMs, incident: &Incident, pending: &Pending<'_>) -> Option<(Arc<str>, Arc<str>)> {
        if !incident.notify.is_first_due(at) {
            return None;
        }
        let pending = pending(&incident.env);
        let env_index = self.index.of_env(&incident.env)?;
        let suspects = pending.into_iter().filter(|entity| incident.alerts.fails(entity) != Some(true));
        let numbered = suspects.filter_map(|entity| Some((self.topology.number(&entity)?, entity)));
        let mut held = numbered.filter_map(|(number, suspect)| {
            let failing = incident.alerts.failing_entities().map(|(entity, _)| entity);
            let dependent = failing.filter(|entity| env_index.depends(entity, EntityId::of_node(number))).min()?;
            Some((suspect, Arc::clone(dependent)))
        });
        held.next()
    }
}
