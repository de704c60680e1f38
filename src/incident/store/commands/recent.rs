//! The answers to commands that were decided lately: a command that is sent twice counts once, and is answered alike.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::incident::command_answer::CommandAnswer;
use crate::model::command::CommandId;
use crate::model::limits::COMMANDS_REMEMBERED_MAX;

/// The newest answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RecentCommands {
    /// The oldest first.
    order: VecDeque<CommandId>,
    answers: BTreeMap<CommandId, CommandAnswer>,
}

impl RecentCommands {
    /// The answer that a command of this id got.
    pub(crate) fn answer(&self, id: &CommandId) -> Option<&CommandAnswer> {
        self.answers.get(id)
    }

    /// Remembers an answer.
    pub(crate) fn insert(&mut self, answer: CommandAnswer) {
        let id = answer.id;
        if self.answers.insert(id, answer).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > COMMANDS_REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }
}

impl Serialize for RecentCommands {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answers: Vec<&CommandAnswer> = self.order.iter().filter_map(|id| self.answers.get(id)).collect();
        answers.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RecentCommands {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut recent = Self::default();
        Vec::<CommandAnswer>::deserialize(deserializer)?.into_iter().for_each(|answer| recent.insert(answer));
        Ok(recent)
    }
}
