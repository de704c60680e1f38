//! Microsoft Teams: a card for each news, by the webhook of a workflow. Cards cannot be edited.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use serde_saphyr::{Location, Spanned};

use crate::model::severity::Severity;
use crate::notify::call::Call;
use crate::notify::incident_view::IncidentView;
use crate::notify::receiver::{Job, Receiver, Wants};
use crate::notify::receivers::json_request;
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::secret::{Hidden, SecretKeys};
use crate::notify::text::{Part, Texts, runbooks, shortened_chars};

/// The settings.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TeamsConfig {
    /// The address, which holds a secret itself.
    pub url: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub url_file: Option<Spanned<PathBuf>>,
    /// A variable of the environment that holds it.
    pub url_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub url_credential: Option<Spanned<String>>,
}

impl TeamsConfig {
    /// The keys of the secret.
    pub fn url(&self) -> SecretKeys<'_> {
        SecretKeys {
            key: "url",
            inline: self.url.as_ref(),
            file: self.url_file.as_ref(),
            env: self.url_env.as_ref(),
            credential: self.url_credential.as_ref(),
        }
    }

    /// What is wrong with it, `of` being the receiver.
    pub fn complain(&self, of: Location, all: &mut Vec<PlacedComplaint>) {
        if matches!(self.url().place(), Ok(None)) {
            let hint = "set url_file, url_env or url_credential to where the address of the workflow is: it is a secret";
            all.push(PlacedComplaint::at(of, "`url` is missing", hint));
        }
        all.extend(self.url().place().err());
    }
}

/// Characters of the text of a card: a message has 28 KB.
const TEXT_CHARS_MAX: usize = 5_000;
/// Characters of its title.
const TITLE_CHARS_MAX: usize = 500;

/// A workflow of Teams.
pub struct Teams {
    url: Hidden,
    texts: Texts,
}

impl Teams {
    /// With its address.
    pub fn new(url: Hidden, texts: Texts) -> Self {
        Self { url, texts }
    }

    fn card(&self, incident: &IncidentView) -> serde_json::Value {
        let color = match (incident.is_open(), incident.severity) {
            (false, _) => "good",
            (true, Severity::Critical) => "attention",
            (true, Severity::Warning) => "warning",
            (true, Severity::Info) => "accent",
        };
        let title = shortened_chars(&self.texts.render(Part::Title, incident), TITLE_CHARS_MAX);
        // A card takes a blank line for the end of a line.
        let text = shortened_chars(&self.texts.render(Part::Text, incident).replace('\n', "\n\n"), TEXT_CHARS_MAX);
        let links = self.texts.link(incident).map(|link| ("Open", link)).into_iter();
        let links = links.chain(runbooks(incident).into_iter().map(|runbook| ("Runbook", runbook)));
        let actions: Vec<_> = links.map(|(title, url)| json!({ "type": "Action.OpenUrl", "title": title, "url": url })).collect();
        json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [
                        { "type": "TextBlock", "text": title, "weight": "bolder", "size": "medium", "wrap": true, "color": color },
                        { "type": "TextBlock", "text": text, "wrap": true },
                        { "type": "TextBlock", "text": incident.id, "isSubtle": true, "size": "small" },
                    ],
                    "actions": actions,
                },
            }],
        })
    }
}

impl Receiver for Teams {
    fn kind(&self) -> &'static str {
        "teams"
    }

    fn for_people(&self) -> bool {
        true
    }

    fn wants(&self) -> Wants {
        Wants { edits: false, past: true, all: false }
    }

    fn next(&self, job: &Job<'_>) -> Option<Call> {
        let post = || json_request::post("post", self.url.0.clone(), Vec::new(), &self.card(job.incident));
        (!job.record.is_done("post")).then(post)
    }
}
