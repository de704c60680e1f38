//! Acknowledgements, notes and owners.

use std::sync::Arc;

use crate::incident::handling::{Acknowledgement, Note};
use crate::incident::status::RevisionChange;
use crate::incident::store::commands::Touched;
use crate::incident::store::{IncidentStore, touch};
use crate::model::command::{Command, Limit};
use crate::model::limits::NOTES_PER_INCIDENT_MAX;
use crate::model::time::{TimestampMs, format_rfc3339};

impl IncidentStore {
    pub(super) fn acknowledge(
        &mut self,
        at: TimestampMs,
        command: &Command,
        incident: &str,
        until: Limit,
        touched: &mut Touched,
    ) -> Result<(), String> {
        let until = until.end(at);
        if let Some(until) = until.filter(|until| *until <= at) {
            return Err(format!("it would have run out at {}, before {}", format_rfc3339(until), format_rfc3339(at)));
        }
        let (id, incident) = self.open_named(incident)?;
        let mut state = std::mem::take(&mut incident.notify);
        let (by, comment) = (Arc::clone(&command.by), Arc::clone(&command.comment));
        state.acknowledge(&incident.facts(at), Acknowledgement { by, at, comment, until });
        incident.notify = state;
        // Who acknowledges knows what is here.
        incident.alerts.mark_notified();
        touch(touched, &id, RevisionChange::Acknowledged);
        Ok(())
    }

    pub(super) fn unacknowledge(&mut self, incident: &str, touched: &mut Touched) -> Result<(), String> {
        let (id, incident) = self.open_named(incident)?;
        if incident.notify.unacknowledge().is_none() {
            return Err(format!("{id} is not acknowledged"));
        }
        touch(touched, &id, RevisionChange::Updated);
        Ok(())
    }

    pub(super) fn note(
        &mut self,
        at: TimestampMs,
        command: &Command,
        incident: &str,
        touched: &mut Touched,
    ) -> Result<(), String> {
        let id = self.named(incident)?;
        let Some(incident) = self.incidents.get_mut(&id) else { return Err(format!("{id} is not known")) };
        if incident.handling.notes.len() >= NOTES_PER_INCIDENT_MAX {
            return Err(format!("{id} has {NOTES_PER_INCIDENT_MAX} notes, and there is no room for more"));
        }
        incident.handling.notes.push(Note { by: Arc::clone(&command.by), at, text: Arc::clone(&command.comment) });
        touch(touched, &id, RevisionChange::Noted);
        Ok(())
    }

    pub(super) fn own(&mut self, incident: &str, owner: Option<&Arc<str>>, touched: &mut Touched) -> Result<(), String> {
        let (id, incident) = self.open_named(incident)?;
        if incident.handling.owner.as_ref() == owner {
            let of = owner.map_or_else(|| "nobody".into(), ToString::to_string);
            return Err(format!("{of} is in charge of {id} already"));
        }
        incident.handling.owner = owner.cloned();
        touch(touched, &id, RevisionChange::Noted);
        Ok(())
    }
}
