//! Silences and maintenances: made, changed and ended by hand.

use std::sync::Arc;

use crate::incident::silence::{Silence, SilenceState};
use crate::incident::store::IncidentStore;
use crate::incident::store::commands::Touched;
use crate::model::command::{Command, CommandId, CommandKind, SilenceRequest, SilenceTarget};
use crate::model::limits::SILENCES_MAX;
use crate::model::time::{TimestampMs, format_rfc3339};

impl IncidentStore {
    /// Makes a silence, or changes one. Yields its id.
    pub(super) fn silence(
        &mut self,
        at: TimestampMs,
        command: &Command,
        request: &SilenceRequest,
        touched: &mut Touched,
    ) -> Result<CommandId, String> {
        // What has begun by the sender's clock begins at once: event time is a little behind.
        let begun = |from: &TimestampMs| *from > at && command.at.is_some_and(|sent| *from <= sent);
        let known = request.edits.and_then(|edited| self.silences.get(&edited)).map(|known| known.from);
        let from = request.from.or(known).filter(|from| !begun(from)).unwrap_or(at);
        let to = request.to.end(from);
        if let Some(to) = to.filter(|to| *to <= at.max(from)) {
            let (to, from, now) = (format_rfc3339(to), format_rfc3339(from), format_rfc3339(at));
            return Err(format!("it would end at {to}, which is not after its beginning, {from}, and now, {now}"));
        }
        if let Some(recurrence) =
            request.recurrence.as_ref().filter(|recurrence| recurrence.next(from.saturating_sub(1)).is_none())
        {
            return Err(format!("the times of {:?} never come", recurrence.cron()));
        }
        let target = match &request.target {
            SilenceTarget::Incident(name) => SilenceTarget::Incident(self.open_named(name)?.0.to_string().into()),
            other => other.clone(),
        };
        let silence = Silence {
            id: request.edits.unwrap_or(command.id),
            target,
            from,
            to,
            recurrence: request.recurrence.clone(),
            by: Arc::clone(&command.by),
            comment: Arc::clone(&command.comment),
            is_maintenance: command.kind == CommandKind::Maintenance,
            updated_at: at,
            expired_at: None,
        };
        if let Some(edited) = request.edits {
            self.check_edit(at, &edited, &silence)?;
        } else if self.silences.len() >= SILENCES_MAX {
            return Err(format!("there are {SILENCES_MAX} silences: expire some first"));
        }
        if let Some(old) = &request.replaces {
            self.lasting(at, old)?;
            self.silences.expire(old, at);
        }
        let id = silence.id;
        self.silences.put(silence, at);
        self.advance_silences(at, touched);
        Ok(id)
    }

    /// A silence may be changed as long as it stays the same silence: it is for the same alerts, and began when it began.
    fn check_edit(&self, at: TimestampMs, edited: &CommandId, silence: &Silence) -> Result<(), String> {
        let known = self.lasting(at, edited)?;
        if known.target != silence.target {
            return Err(format!("silence {edited} is for other alerts: make a new one that replaces it"));
        }
        if known.from <= at && known.from != silence.from {
            return Err(format!("silence {edited} began at {}, which cannot be changed any more", format_rfc3339(known.from)));
        }
        Ok(())
    }

    /// A silence that has not ended.
    fn lasting(&self, at: TimestampMs, id: &CommandId) -> Result<&Silence, String> {
        match self.silences.get(id) {
            None => Err(format!("there is no silence {id}")),
            Some(silence) if silence.state(at) == SilenceState::Expired => {
                Err(format!("silence {id} ended at {}", silence.end().map_or_else(String::new, format_rfc3339)))
            }
            Some(silence) => Ok(silence),
        }
    }

    /// Ends a silence. Yields its id.
    pub(super) fn expire(&mut self, at: TimestampMs, id: &CommandId, touched: &mut Touched) -> Result<CommandId, String> {
        self.lasting(at, id)?;
        self.silences.expire(id, at);
        self.advance_silences(at, touched);
        Ok(*id)
    }
}
