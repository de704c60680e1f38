//! What a message says: minijinja templates over the incident's message. A template of the operator's that fails on an incident is replaced by the
//! default text, which says so: a page without its prose is better than none.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde_json::Value as Json;

use crate::model::limits::{NOTIFICATION_TEMPLATE_BYTES_MAX, NOTIFICATION_TEMPLATE_FUEL_MAX, TEMPLATE_SOURCE_BYTES_MAX};
use crate::notify::incident_view::IncidentView;

/// One line.
pub const DEFAULT_TITLE: &str = "\
{%- if status == 'resolved' %}Resolved{% elif status == 'merged' %}Merged{% else %}{{ severity | capitalize }}{% endif -%}
{{ ' in ' ~ env if env }}: {{ title }}";

/// What a person needs besides the title.
pub const DEFAULT_TEXT: &str = "\
{{ summary }}
{%- if status == 'merged' %}
It is part of {{ merged_into }} now.{% endif %}
{%- if acknowledged %}
Acknowledged by {{ acknowledged.by or 'somebody' }}.{% endif %}
{%- if owner %}
Owner: {{ owner.name or owner.by or owner }}.{% endif %}
{%- if status == 'open' and notify.send %}
Notified because: {{ notify.reason }}.{% endif %}
{%- for runbook in runbooks %}
Runbook: {{ runbook }}{% endfor %}
{%- if link %}
{{ link }}{% endif %}";

/// The compiled texts of one receiver.
#[derive(Debug)]
pub struct Texts {
    environment: Environment<'static>,
    link: Option<String>,
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One line.
    Title,
    /// What a person needs besides.
    Text,
    /// The body of a webhook.
    Body,
}

/// The runbooks that a message names.
const RUNBOOKS_MAX: usize = 3;

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Title => "title",
            Part::Text => "text",
            Part::Body => "body",
        }
    }

    fn default_name(self) -> &'static str {
        if self == Part::Title { "default_title" } else { "default_text" }
    }
}

impl Texts {
    /// Compiles the operator's templates. `link` is the address of an incident's page, with `{id}` in it.
    pub fn new(templates: &[(Part, &str)], link: Option<&str>) -> Result<Self, (Part, String)> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(NOTIFICATION_TEMPLATE_FUEL_MAX));
        // What goes into a field is escaped by the field's own rules.
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        let defaults = [("default_title", DEFAULT_TITLE), ("default_text", DEFAULT_TEXT)];
        for (name, source) in defaults {
            if let Err(error) = environment.add_template(name, source) {
                unreachable!("the default texts are tested: {error}");
            }
        }
        for (part, source) in templates {
            if source.len() > TEMPLATE_SOURCE_BYTES_MAX {
                return Err((*part, format!("{} bytes, the limit of a template is {TEMPLATE_SOURCE_BYTES_MAX}", source.len())));
            }
            let added = environment.add_template_owned(part.name(), source.to_string());
            added.map_err(|error| (*part, in_words(&error)))?;
        }
        Ok(Self { environment, link: link.map(String::from) })
    }

    /// Renders a part of a message. Where the operator's template fails, the default text and a line that says so.
    pub fn render(&self, part: Part, incident: &IncidentView) -> String {
        let values = self.values(incident);
        match self.own(part, &values) {
            None => self.default(part, &values, incident),
            Some(Ok(text)) => text,
            Some(Err(error)) => {
                let default = self.default(part, &values, incident);
                let gap = if part == Part::Title { " " } else { "\n" };
                format!("{default}{gap}(the template `{}` of this receiver fails: {error})", part.name())
            }
        }
    }

    /// Renders the operator's template alone.
    pub fn own_part(&self, part: Part, incident: &IncidentView) -> Option<Result<String, String>> {
        self.own(part, &self.values(incident))
    }

    /// The address of the incident's page.
    pub fn link(&self, incident: &IncidentView) -> Option<String> {
        self.link.as_ref().map(|link| link.replace("{id}", &incident.id))
    }

    fn own(&self, part: Part, values: &Value) -> Option<Result<String, String>> {
        let template = self.environment.get_template(part.name()).ok()?;
        let text = template.render(values).map_err(|error| in_words(&error));
        Some(text.map(|text| shortened(&text, NOTIFICATION_TEMPLATE_BYTES_MAX)))
    }

    fn default(&self, part: Part, values: &Value, incident: &IncidentView) -> String {
        let template = self.environment.get_template(part.default_name());
        let text = template.and_then(|template| template.render(values));
        let text = text.unwrap_or_else(|_| format!("{} {}", incident.title, incident.summary));
        let text = shortened(&text, NOTIFICATION_TEMPLATE_BYTES_MAX);
        if part == Part::Title { text.split_whitespace().collect::<Vec<_>>().join(" ") } else { text }
    }

    fn values(&self, incident: &IncidentView) -> Value {
        let mut values = (*incident.body).clone();
        if let Json::Object(values) = &mut values {
            values.insert("runbooks".into(), runbooks(incident).into());
            values.insert("link".into(), self.link(incident).into());
        }
        Value::from(Serde(&values))
    }
}

/// The runbooks of the alerts that fire, or of all where none fires, each once.
pub fn runbooks(incident: &IncidentView) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let firing = incident.alerts.iter().any(|alert| alert.firing);
    for runbook in incident.alerts.iter().filter(|alert| alert.firing || !firing).filter_map(|alert| alert.runbook.as_ref()) {
        if all.len() < RUNBOOKS_MAX && !all.contains(runbook) {
            all.push(runbook.clone());
        }
    }
    all
}

/// So many bytes of a text at most, with dots where something is missing.
pub fn shortened(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_string();
    }
    let mut end = bytes_max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// So many characters of a text at most, likewise.
pub fn shortened_chars(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_string();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

fn in_words(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), String::from);
    match error.line() {
        Some(line) if line > 1 => format!("{detail}, in line {line} of it"),
        _ => detail,
    }
}
