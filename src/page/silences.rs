//! Silences and maintenances: the list of them, and the form that makes one, with what it would hit.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::model::command::CommandKind;
use crate::notify::incident_view::IncidentView;
use crate::page::pages::{Frame, Pages, Reader};
use crate::page::silence_preview::Hit;

/// What the form holds, as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SilenceForm {
    /// Matchers, one a line.
    pub matchers: String,
    /// Or an incident.
    pub incident: String,
    /// Or a node.
    pub node: String,
    /// Of that node only in this environment.
    pub env: String,
    /// For how long.
    pub lasts: String,
    /// Or again and again, at the times of this cron pattern.
    pub cron: String,
    /// Each time for so long.
    pub duration: String,
    /// In this time zone.
    pub time_zone: String,
    /// Why.
    pub comment: String,
    /// It is for planned work.
    pub maintenance: bool,
}

impl SilenceForm {
    /// What was typed.
    pub fn of(fields: &[(String, String)]) -> Self {
        let field = |name: &str| {
            let value = fields.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value.trim().to_string());
            value.unwrap_or_default()
        };
        Self {
            matchers: field("matchers"),
            incident: field("incident"),
            node: field("node"),
            env: field("env"),
            lasts: field("for"),
            cron: field("cron"),
            duration: field("duration"),
            time_zone: field("time_zone"),
            comment: field("comment"),
            maintenance: field("maintenance") == "yes",
        }
    }

    /// Whether it names anything to be silenced.
    pub fn names_something(&self) -> bool {
        [&self.matchers, &self.incident, &self.node].into_iter().any(|field| !field.is_empty())
    }

    /// The kind of command that comes of it.
    pub fn kind(&self) -> CommandKind {
        if self.maintenance { CommandKind::Maintenance } else { CommandKind::Silence }
    }

    /// The fields of that command. What is empty was not asked for.
    pub fn command(&self) -> Map<String, Json> {
        let matchers: Vec<&str> = self.matchers.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let given = |text: &String| (!text.is_empty()).then(|| Json::from(text.as_str()));
        let mut fields = Map::new();
        if !matchers.is_empty() {
            fields.insert("matchers".into(), matchers.into());
        }
        let others = [
            ("incident", &self.incident),
            ("node", &self.node),
            ("env", &self.env),
            ("for", &self.lasts),
            ("cron", &self.cron),
            ("duration", &self.duration),
            ("time_zone", &self.time_zone),
        ];
        fields.extend(others.into_iter().filter_map(|(name, text)| Some((name.to_string(), given(text)?))));
        fields
    }
}

/// What the form shows below itself.
#[derive(Clone, Debug)]
pub enum Preview {
    /// Nothing was asked for yet.
    Nothing,
    /// What it would hit.
    Hits(Vec<Hit>),
    /// Why it cannot be.
    Refused(String),
}

/// The page with the form.
pub fn form_page(pages: &Pages, reader: &Reader, form: &SilenceForm, preview: &Preview, knows_graph: bool) -> String {
    let (hits, refused) = match preview {
        Preview::Nothing => (None, None),
        Preview::Hits(hits) => (Some(hits), None),
        Preview::Refused(why) => (None, Some(why)),
    };
    let sum = hits.map(|hits| hits.iter().map(|hit| hit.silenced).sum::<usize>());
    let values = json!({
        "matchers": form.matchers, "incident": form.incident, "node": form.node, "env": form.env, "lasts": form.lasts, "cron": form.cron,
        "duration": form.duration, "time_zone": form.time_zone, "comment": form.comment, "maintenance": form.maintenance,
        "hits": hits, "sum": sum, "refused": refused, "knows_graph": knows_graph,
    });
    let title = reader.language.text("New silence");
    let frame = Frame { title, section: "silences", address: "/silences/new", ..Frame::default() };
    pages.page("silence_form.html", &frame, reader, values, &[])
}

/// The page with all silences: those that hold first, the next to end at the top.
pub fn list_page(
    pages: &Pages,
    reader: &Reader,
    mut silences: Vec<Arc<Json>>,
    open: &[Arc<IncidentView>],
    done: Option<&str>,
    trouble: Option<&str>,
) -> String {
    let rank = |silence: &Json| match silence["state"].as_str() {
        Some("active") => 0,
        Some("pending") => 1,
        _ => 2,
    };
    let text = |silence: &Json, field: &str| silence[field].as_str().unwrap_or("9999").to_string();
    silences.sort_by_cached_key(|silence| (rank(silence), text(silence, "to"), text(silence, "id")));
    let lines = silences.iter().map(|silence| {
        let id = silence["id"].as_str().unwrap_or_default();
        let hits = open.iter().filter(|view| is_silenced(view, id)).map(|view| json!({"id": view.id, "title": view.title}));
        let mut line = (**silence).clone();
        line["hits"] = hits.collect();
        line["matchers"] = list(&silence["matchers"]).iter().map(matcher).collect();
        line
    });
    let values = json!({"silences": lines.collect::<Vec<_>>(), "done": done});
    let title = reader.language.text("Silences and maintenance");
    let frame = Frame { title, section: "silences", address: "/silences", listens: "", trouble };
    pages.page("silences.html", &frame, reader, values, &[])
}

/// Whether an alert of the incident is under this silence.
fn is_silenced(view: &IncidentView, id: &str) -> bool {
    list(&view.body["alerts"]).iter().any(|alert| list(&alert["silenced_by"]).iter().any(|by| by == id))
}

/// A matcher as one writes it.
fn matcher(matcher: &Json) -> Json {
    let sign = match (matcher["isEqual"] != false, matcher["isRegex"] == true) {
        (true, false) => "=",
        (false, false) => "!=",
        (true, true) => "=~",
        (false, true) => "!~",
    };
    let part = |name: &str| matcher[name].as_str().unwrap_or_default();
    format!("{}{sign}{}", part("name"), part("value")).into()
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_typed_is_in_the_command() {
        let typed = [("matchers", " service=chat \n\n alertname=~disk.* "), ("for", "2h"), ("node", ""), ("comment", "known")];
        let typed: Vec<(String, String)> = typed.map(|(name, value)| (name.into(), value.into())).into();
        let form = SilenceForm::of(&typed);
        let expected = json!({"matchers": ["service=chat", "alertname=~disk.*"], "for": "2h"});
        assert_eq!((form.kind(), Json::Object(form.command())), (CommandKind::Silence, expected));
        assert!(form.names_something() && !SilenceForm::default().names_something());
    }
}
