//! Commands: each counts at the instant of event time at which it is read, in the order of the stream. Before the first event there is no
//! such instant: what comes earlier waits for it.

use crate::alert::{EndReason, Transition};
use crate::engine::core::Engine;
use crate::incident::command_answer::CommandAnswer;
use crate::incident::revision::Revision;
use crate::incident::silence::{Silence, SilenceState};
use crate::model::command::{Action, Command, CommandId};
use crate::model::limits::COMMANDS_WAITING_MAX;
use crate::model::time::TimestampMs;

/// What commands came to, besides revisions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandResults {
    /// In the order of the commands.
    pub answers: Vec<CommandAnswer>,
    /// Silences whose state changed, as they are now; nothing where one was forgotten.
    pub silences: Vec<(CommandId, Option<(Silence, SilenceState)>)>,
}

impl CommandResults {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.silences.is_empty()
    }
}

impl Engine {
    /// What commands came to since this was last asked for, besides revisions.
    pub fn take_command_results(&mut self) -> CommandResults {
        let silences = self.incidents.silences_mut().take_changed(self.handled_until);
        CommandResults { answers: std::mem::take(&mut self.answers), silences }
    }

    /// All silences, those included that have ended lately, with their states.
    pub fn silences(&self) -> impl Iterator<Item = (&Silence, SilenceState)> {
        self.incidents.silences().all(self.handled_until)
    }

    /// Decides a command now, or keeps it until there is a now.
    pub(super) fn command(&mut self, command: Command, revisions: &mut Vec<Revision>) {
        let Some(now) = self.watermark.now() else {
            if self.waiting_commands.len() < COMMANDS_WAITING_MAX {
                self.waiting_commands.push(command);
            } else {
                let why = format!("{COMMANDS_WAITING_MAX} commands wait for the first event already");
                self.answers.push(CommandAnswer::refused(&command, TimestampMs::MIN, why));
            }
            return;
        };
        let at = now.max(self.handled_until);
        self.learn_until(at);
        self.handled_until = at;
        if let Ok(Action::Resolve { incident }) = &command.action
            && let Err(why) = self.end_firing(at, incident, revisions)
        {
            self.answers.push(CommandAnswer::refused(&command, at, why));
            return;
        }
        let Self { alerts, incidents, .. } = self;
        let pending = |env: &str| alerts.iter().flat_map(|alerts| alerts.pending(env)).cloned().collect();
        let (more, answer) = incidents.command(at, &command, &pending);
        revisions.extend(more);
        self.answers.push(answer);
    }

    /// Decides the commands that came before the first event.
    pub(super) fn decide_waiting_commands(&mut self, revisions: &mut Vec<Revision>) {
        for command in std::mem::take(&mut self.waiting_commands) {
            self.command(command, revisions);
        }
    }

    /// Ends the alerts of other systems that fire in an incident. What a rule finds goes on for as long as the rule finds it.
    fn end_firing(&mut self, at: TimestampMs, incident: &str, revisions: &mut Vec<Revision>) -> Result<(), String> {
        let (_, firing) = self.incidents.firing_in(incident)?;
        if let Some(alert) = firing.iter().find(|alert| !self.external.is_firing(&alert.fingerprint)) {
            let (rule, subject) = (&alert.rule, alert.subject());
            return Err(format!("the rule {rule} still finds {subject} failing: acknowledge or silence it instead"));
        }
        let mut end = |fingerprint| self.external.end(fingerprint, at, EndReason::ResolvedByHand);
        let ended: Vec<Transition> = firing.iter().filter_map(|alert| end(&alert.fingerprint)).collect();
        if !ended.is_empty() {
            revisions.extend(self.apply(at, ended));
        }
        Ok(())
    }
}
