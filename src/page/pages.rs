//! The templates, and what they may call. All that a template writes is escaped; what is HTML already was made by another template.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use minijinja::value::{Rest, Serde};
use minijinja::{AutoEscape, Environment, State, UndefinedBehavior, Value, escape_formatter};
use serde_json::{Map, Value as Json, json};

use crate::model::duration::format_ms;
use crate::model::local_time::Zone;
use crate::model::time::{TimestampMs, format_rfc3339, parse_rfc3339};
use crate::page::assets::{ICON, SCRIPT, STYLE};
use crate::page::language::{Language, filled};
use crate::page::text::{in_address, is_web_address};

/// The templates by name.
const TEMPLATES: &[(&str, &str)] = &[
    ("layout.html", include_str!("templates/layout.html")),
    ("incidents.html", include_str!("templates/incidents.html")),
    ("incident_row.html", include_str!("templates/incident_row.html")),
    ("incident.html", include_str!("templates/incident.html")),
    ("drawing.svg", include_str!("templates/drawing.svg")),
    ("past.html", include_str!("templates/past.html")),
    ("message.html", include_str!("templates/message.html")),
    ("silences.html", include_str!("templates/silences.html")),
    ("silence_form.html", include_str!("templates/silence_form.html")),
];

/// For whom a page is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// The language.
    pub language: Language,
    /// Who it is, where that is known.
    pub name: Option<String>,
    /// The name that was typed last, where nobody vouches for one.
    pub typed_name: String,
    /// Whether the forms of the page would be taken.
    pub may_act: bool,
    /// Whether there is somebody to sign out.
    pub is_signed_in: bool,
}

/// Makes the pages.
#[derive(Debug)]
pub struct Pages {
    environment: Environment<'static>,
}

impl Pages {
    /// With the times of this zone.
    pub fn new(zone: Zone) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        // What is missing leaves no trace.
        environment.set_formatter(|out, state, value| if value.is_none() { Ok(()) } else { escape_formatter(out, state, value) });
        for (name, source) in TEMPLATES {
            if let Err(error) = environment.add_template(name, source) {
                unreachable!("the templates are part of the program: {error:#}");
            }
        }
        environment.add_function("t", translated);
        environment.add_function("n", counted);
        environment.add_filter("moment", move |text: String| time_element(&text, zone, "%Y-%m-%d %H:%M:%S"));
        environment.add_filter("clock", move |text: String| time_element(&text, zone, "%H:%M:%S"));
        environment.add_filter("clock_text", move |text: String| local_text(&text, zone, "%H:%M:%S"));
        environment.add_filter("lasting", lasting);
        environment.add_filter("in_address", |text: String| in_address(&text));
        environment.add_test("web_address", |text: Value| text.as_str().is_some_and(is_web_address));
        environment.add_global("zone", zone.0.name());
        Self { environment }
    }

    /// One part of a page, as HTML.
    pub fn part(&self, template: &str, reader: &Reader, values: Json) -> String {
        let values = with_reader(values, reader);
        let made = self.environment.get_template(template).and_then(|template| template.render(Value::from(Serde(&values))));
        made.unwrap_or_else(|error| {
            tracing::error!(template, error = format!("{error:#}"), "a page cannot be made");
            String::new()
        })
    }

    /// A whole page: the part, in the frame that all pages have. `parts` are values that are HTML already.
    pub fn page(&self, template: &str, frame: &Frame<'_>, reader: &Reader, values: Json, parts: &[(&str, String)]) -> String {
        let values = with_reader(values, reader);
        let html = |(name, html): &(&str, String)| (name.to_string(), Value::from_safe_string(html.clone()));
        let parts: BTreeMap<String, Value> = parts.iter().map(html).collect();
        let values = minijinja::context! { ..Value::from(Serde(&values)), ..Value::from(parts) };
        let content = self.environment.get_template(template).and_then(|template| template.render(values));
        let content = content.unwrap_or_else(|error| {
            tracing::error!(template, error = format!("{error:#}"), "a page cannot be made");
            String::new()
        });
        let frame_values = json!({
            "title": frame.title, "section": frame.section, "address": frame.address, "listens": frame.listens,
            "style": STYLE.path(), "script": SCRIPT.path(), "icon": ICON.path(), "trouble": frame.trouble,
        });
        let frame_values = with_reader(frame_values, reader);
        let values = minijinja::context! { content => Value::from_safe_string(content), ..Value::from(Serde(&frame_values)) };
        let page = self.environment.get_template("layout.html").and_then(|layout| layout.render(values));
        page.unwrap_or_else(|error| {
            tracing::error!(error = format!("{error:#}"), "the frame of a page cannot be made");
            String::new()
        })
    }
}

/// What the frame of a page shows.
#[derive(Clone, Debug, Default)]
pub struct Frame<'a> {
    /// The title of the window.
    pub title: &'a str,
    /// Which entry of the navigation it belongs to.
    pub section: &'a str,
    /// Its own address: where to come back to in another language.
    pub address: &'a str,
    /// The address of its news; empty for none.
    pub listens: &'a str,
    /// Why what it shows may be old.
    pub trouble: Option<&'a str>,
}

fn with_reader(values: Json, reader: &Reader) -> Json {
    let mut fields = match values {
        Json::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.insert("language".into(), reader.language.tag().into());
    fields.insert("reader".into(), reader.name.clone().into());
    fields.insert("typed_name".into(), reader.typed_name.clone().into());
    fields.insert("may_act".into(), reader.may_act.into());
    fields.insert("is_signed_in".into(), reader.is_signed_in.into());
    Json::Object(fields)
}

fn language_of(state: &State<'_, '_>) -> Language {
    state.lookup("language").and_then(|tag| Language::of_tag(tag.as_str()?)).unwrap_or_default()
}

/// A text of the pages with its arguments.
fn translated(state: &State<'_, '_>, text: String, arguments: Rest<Value>) -> String {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    filled(language_of(state).text(&text), &arguments)
}

/// A text about a number: one form for one, another for many. `{}` is the number.
fn counted(state: &State<'_, '_>, number: i64, one: String, many: String) -> String {
    let language = language_of(state);
    let text = if number == 1 && language == Language::English { one.as_str() } else { language.text(&many) };
    filled(text, &[number.to_string()])
}

/// A time of a message as an element that a script can read. What is no time stays a text.
fn time_element(text: &str, zone: Zone, format: &str) -> Value {
    let Some(at) = parse_rfc3339(text) else { return Value::from(text) };
    Value::from_safe_string(format!("<time datetime=\"{}\">{}</time>", format_rfc3339(at), local_text(text, zone, format)))
}

/// A time of a message as a text in the zone.
fn local_text(text: &str, zone: Zone, format: &str) -> String {
    let Some(at) = parse_rfc3339(text) else { return text.to_string() };
    let local = DateTime::<Utc>::from_timestamp_millis(at).unwrap_or_default().with_timezone(&zone.0);
    local.format(format).to_string()
}

/// How long it was from one time to another.
fn lasting(from: String, to: String) -> String {
    let at = |text: &str| -> Option<TimestampMs> { parse_rfc3339(text) };
    match (at(&from), at(&to)) {
        (Some(from), Some(to)) if to > from => format_ms((to - from) / 1_000 * 1_000),
        (Some(_), Some(_)) => "0s".into(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts that templates ask for: the first argument of `t`, the last one of `n`.
    fn texts() -> Vec<(String, String)> {
        let mut texts = Vec::new();
        for (name, source) in TEMPLATES {
            for (at, _) in source.match_indices("t(\"").chain(source.match_indices("n(")) {
                let before = source[..at].chars().next_back();
                if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
                    continue;
                }
                let call = source[at..].split(")").next().unwrap();
                let quoted: Vec<&str> = call.split('"').skip(1).step_by(2).collect();
                let text = if call.starts_with('t') { quoted.first() } else { quoted.last() };
                texts.extend(text.map(|text| (name.to_string(), text.to_string())));
            }
        }
        texts
    }

    #[test]
    fn every_text_of_the_templates_is_there_in_korean() {
        let texts = texts();
        assert!(texts.len() > 50, "{} texts were found", texts.len());
        let missing: Vec<_> = texts.iter().filter(|(_, text)| !Language::Korean.has(text)).collect();
        assert!(missing.is_empty(), "{missing:#?}");
    }

    #[test]
    fn what_a_template_writes_is_escaped() {
        let pages = Pages::new(Zone::default());
        let values = json!({"heading": "<script>alert(1)</script>", "text": "a\" onclick=\"x"});
        let html = pages.page("message.html", &Frame::default(), &Reader::default(), values, &[]);
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>alert"), "{html}");
        assert!(!html.contains("a\" onclick"), "{html}");
    }

    #[test]
    fn times_are_shown_in_the_zone() {
        let zone = Zone("Asia/Seoul".parse().unwrap());
        let shown = time_element("2026-03-14T23:30:00Z", zone, "%Y-%m-%d %H:%M:%S").to_string();
        assert_eq!(shown, "<time datetime=\"2026-03-14T23:30:00Z\">2026-03-15 08:30:00</time>");
        assert_eq!(time_element("<b>", zone, "%H").to_string(), "<b>");
        assert_eq!(lasting("2026-03-14T23:30:00Z".into(), "2026-03-14T23:31:30.5Z".into()), "1m 30s");
    }
}
