//! What a command does to incidents: decided at an instant of event time, against what is known then. Each command gets an answer, and
//! whatever it changes is in the next revision of the incidents that it concerns.

mod handling;
pub(crate) mod recent;
mod regroup;
mod silencing;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::incident::command_answer::{Accepted, CommandAnswer};
use crate::incident::id::IncidentId;
use crate::incident::revision::Revision;
use crate::incident::status::{RevisionChange, Status};
use crate::incident::store::incident::Incident;
use crate::incident::store::{IncidentStore, Pending};
use crate::model::command::{Action, Command, CommandId};
use crate::model::duration::format_ms;
use crate::model::limits::COMMAND_AGE_MAX_MS;
use crate::model::time::{TimestampMs, format_rfc3339};

/// What a command changes: incidents, each with what its next revision is about.
type Touched = BTreeMap<IncidentId, RevisionChange>;

impl IncidentStore {
    /// Decides a command at `at`. Yields the revisions that follow, and the answer for its sender.
    pub fn command(&mut self, at: TimestampMs, command: &Command, pending: &Pending<'_>) -> (Vec<Revision>, CommandAnswer) {
        if let Some(answer) = self.commands.answer(&command.id) {
            return (Vec::new(), answer.clone());
        }
        let (mut touched, mut revisions) = (Touched::new(), Vec::new());
        let outcome = self.decide(at, command, &mut touched, &mut revisions);
        for (id, change) in touched {
            revisions.extend(self.revise(at, &id, change, pending));
            self.reset_wake(&id);
        }
        self.count(&revisions);
        let made = revisions.iter().map(|revision| (revision.id, revision.revision)).collect();
        let outcome = outcome.map(|silence| Accepted { revisions: made, silence });
        let answer = CommandAnswer { id: command.id, kind: command.kind, by: Arc::clone(&command.by), at, outcome };
        self.commands.insert(answer.clone());
        (revisions, answer)
    }

    fn decide(
        &mut self,
        at: TimestampMs,
        command: &Command,
        touched: &mut Touched,
        revisions: &mut Vec<Revision>,
    ) -> Result<Option<CommandId>, String> {
        if let Some(sent) = command.at.filter(|sent| *sent < at.saturating_sub(COMMAND_AGE_MAX_MS)) {
            let (limit, now) = (format_ms(COMMAND_AGE_MAX_MS), format_rfc3339(at));
            return Err(format!(
                "it was sent at {}, more than {limit} before {now}: what it was about is history",
                format_rfc3339(sent)
            ));
        }
        let action = command.action.as_ref().map_err(Clone::clone)?;
        match action {
            Action::Acknowledge { incident, until } => self.acknowledge(at, command, incident, *until, touched).map(|()| None),
            Action::Unacknowledge { incident } => self.unacknowledge(incident, touched).map(|()| None),
            Action::Note { incident } => self.note(at, command, incident, touched).map(|()| None),
            Action::Owner { incident, owner } => self.own(incident, owner.as_ref(), touched).map(|()| None),
            Action::Silence(request) => self.silence(at, command, request, touched).map(Some),
            Action::Expire { silence } => self.expire(at, silence, touched).map(Some),
            Action::Merge { incident, with } => {
                self.merge_by_hand(at, command, (incident, with), touched, revisions).map(|()| None)
            }
            Action::Split { incident, alerts } => self.split_by_hand(at, incident, alerts, touched).map(|()| None),
            Action::Move { alert, into } => self.move_by_hand(command, *alert, into, touched).map(|()| None),
            Action::Resolve { incident } => self.resolve_by_hand(at, incident, touched).map(|()| None),
        }
    }

    /// The id of an incident that a command names, open or not; of one that was merged, where it went.
    pub(crate) fn named(&self, name: &str) -> Result<IncidentId, String> {
        let mut id: IncidentId = name.parse().map_err(|error: crate::incident::id::BadIncidentId| error.to_string())?;
        while let Some(survivor) = self.merged.get(&id) {
            id = *survivor;
        }
        if self.incidents.contains_key(&id) {
            Ok(id)
        } else {
            Err(format!("there is no incident {name}, or it is long resolved"))
        }
    }

    /// The incident that a command names, where it is open.
    fn open_named(&mut self, name: &str) -> Result<(IncidentId, &mut Incident), String> {
        let id = self.named(name)?;
        match self.incidents.get_mut(&id) {
            Some(incident) if incident.status() == Status::Open => Ok((id, incident)),
            Some(Incident { resolved_at: Some(resolved_at), .. }) => {
                Err(format!("{id} was resolved at {}", format_rfc3339(*resolved_at)))
            }
            _ => Err(format!("{id} is not open")),
        }
    }
}
