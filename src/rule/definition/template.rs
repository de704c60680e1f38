//! What a rule says to people: minijinja templates over an alert's labels, value and other columns.
//!
//! Templates are untrusted like SQL: each has a limit of steps and of bytes, and is tried on a sample row before it is loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, escape_formatter};

use crate::model::diagnostic::nearest;
use crate::model::limits::{TEMPLATE_BYTES_MAX, TEMPLATE_FUEL_MAX, TEMPLATE_SOURCE_BYTES_MAX};
use crate::rule::definition::number_filters;
use crate::rule::definition::output_columns::{Breach, OutputColumns};

/// The compiled texts of one rule.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

/// The parts that are templates.
const SUMMARY: &str = "summary";
const DESCRIPTION: &str = "description";

/// What is wrong with a template.
#[derive(Debug, thiserror::Error)]
#[error("`{part}`: {message}")]
pub struct TemplateError {
    /// `summary` or `description`.
    pub part: &'static str,
    /// The word of the template that is wrong, where it is one word.
    pub word: Option<String>,
    /// How to mend it.
    pub hint: Option<String>,
    message: String,
}

impl Templates {
    /// Compiles both texts and tries them on a sample row. `columns` are what they may name; any other name, an unknown filter
    /// or a sum of text and number is an error now, not at three at night.
    pub fn new(summary: Option<&str>, description: Option<&str>, columns: &OutputColumns) -> Result<Self, Vec<TemplateError>> {
        let mut templates = Self { environment: environment() };
        let mut errors = Vec::new();
        for (part, text) in [(SUMMARY, summary), (DESCRIPTION, description)] {
            let Some(text) = text else { continue };
            if text.len() > TEMPLATE_SOURCE_BYTES_MAX {
                let message = format!("{} bytes, the limit of a template is {TEMPLATE_SOURCE_BYTES_MAX}", text.len());
                let hint = Some("say the rest behind `runbook`".to_string());
                errors.push(TemplateError { part, word: None, hint, message });
                continue;
            }
            match templates.environment.add_template_owned(part, text.to_string()) {
                Ok(()) => errors.extend(templates.problems(part, columns)),
                Err(error) => errors.push(in_words(part, &error)),
            }
        }
        if errors.is_empty() { Ok(templates) } else { Err(errors) }
    }

    fn problems(&self, part: &'static str, columns: &OutputColumns) -> Vec<TemplateError> {
        let unknown = self.unknown_names(part, &columns.template_names());
        if !unknown.is_empty() {
            return unknown;
        }
        // A label may hold digits that the template reads as a number: it is wrong only if no text at all will do.
        let tries: Vec<Error> =
            ["x", "1"].into_iter().filter_map(|label| self.write(part, &sample(columns, label)).err()).collect();
        if tries.len() < 2 { Vec::new() } else { tries.first().map(|error| in_words(part, error)).into_iter().collect() }
    }

    fn unknown_names(&self, part: &'static str, known: &[&str]) -> Vec<TemplateError> {
        let Ok(template) = self.environment.get_template(part) else { return Vec::new() };
        let names: BTreeSet<String> = template.undeclared_variables(true).into_iter().collect();
        let complain = |name: String| {
            let (root, attribute) = name.split_once('.').map_or((name.as_str(), None), |(root, rest)| (root, Some(rest)));
            let (message, word, hint) = match (known.contains(&root), attribute) {
                (true, None) => return None,
                (true, Some(attribute)) => (
                    format!("`{root}` is one text or number, it has no `{attribute}`"),
                    name.clone(),
                    format!("write {{{{ {root} }}}}, with a filter where you need one: {{{{ {root} | upper }}}}"),
                ),
                (false, _) if root == "range" => return None,
                (false, _) => {
                    let near = nearest(root, known.iter().copied());
                    let hint = near.map_or(format!("it has {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
                    (format!("the row has no `{root}`"), root.to_string(), hint)
                }
            };
            Some(TemplateError { part, word: Some(word), hint: Some(hint), message })
        };
        names.into_iter().filter_map(complain).collect()
    }

    /// What the templates may name, for one breach: labels that are absent are empty texts.
    pub fn row(&self, breach: &Breach, severity: &str) -> BTreeMap<String, Value> {
        let labels = breach.labels.iter().map(|(name, text)| (name.to_string(), Value::from(text)));
        let numbers = breach.numbers.iter().map(|(name, number)| (name.clone(), whole(Value::from(*number))));
        let texts = breach.texts.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str())));
        let own = [("value".to_string(), whole(Value::from(breach.value))), ("severity".to_string(), Value::from(severity))];
        labels.chain(numbers).chain(texts).chain(own).collect()
    }

    /// One line for a person; `None` where the rule has no summary.
    pub fn summary(&self, row: &BTreeMap<String, Value>) -> Option<String> {
        self.render(SUMMARY, row)
    }

    /// More for a person; `None` where the rule has no description.
    pub fn description(&self, row: &BTreeMap<String, Value>) -> Option<String> {
        self.render(DESCRIPTION, row)
    }

    /// An alert matters more than its prose: a template that fails on a row says so in the text itself.
    fn render(&self, part: &'static str, row: &BTreeMap<String, Value>) -> Option<String> {
        self.environment.get_template(part).ok()?;
        Some(
            self.write(part, row)
                .unwrap_or_else(|error| format!("({part} could not be written: {})", in_words(part, &error).message)),
        )
    }

    fn write(&self, part: &str, row: &BTreeMap<String, Value>) -> Result<String, Error> {
        let mut page = Page::default();
        self.environment.get_template(part)?.render_captured_to(row, &mut page)?;
        Ok(String::from_utf8_lossy(&page.0).into_owned())
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(TEMPLATE_FUEL_MAX));
    environment.add_filter("round", round);
    number_filters::add_to(&mut environment);
    environment.set_formatter(|out, state, value| escape_formatter(out, state, &whole(value.clone())));
    environment
}

/// minijinja's own filter, but whole numbers come out whole: "75%", not "75.0%".
fn round(value: Value, precision: Option<i32>, method: Option<&str>, kwargs: Kwargs) -> Result<Value, Error> {
    minijinja::filters::round(value, precision, method, kwargs).map(whole)
}

/// A float without a fraction as an integer, all else as it is.
fn whole(value: Value) -> Value {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if value.kind() != ValueKind::Number || value.is_integer() {
        return value;
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.fract() == 0.0 && number.abs() <= EXACT_MAX => Value::from(number as i64),
        _ => value,
    }
}

/// A row as it might come, every label the same text.
fn sample(columns: &OutputColumns, label: &str) -> BTreeMap<String, Value> {
    let texts = columns.label_names().chain(columns.text_names());
    let labels = texts.map(|name| (name.to_string(), Value::from(label)));
    let numbers = columns.number_names().chain(["value"]).map(|name| (name.to_string(), Value::from(1.0)));
    labels.chain(numbers).chain([("severity".to_string(), Value::from("warning"))]).collect()
}

/// Where a template writes, up to the limit.
#[derive(Default)]
struct Page(Vec<u8>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > TEMPLATE_BYTES_MAX {
            return Err(io::Error::other("the page is full"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn in_words(part: &'static str, error: &Error) -> TemplateError {
    let detail = error.detail().unwrap_or_default().to_string();
    let quoted = |before: &str| detail.strip_prefix(before).and_then(|tail| tail.split(' ').next()).map(String::from);
    let (message, word, hint) = match error.kind() {
        ErrorKind::OutOfFuel => (
            format!("it takes more than {TEMPLATE_FUEL_MAX} steps"),
            None,
            Some("a summary is one line: drop the loops".to_string()),
        ),
        ErrorKind::WriteFailure => (
            format!("it writes more than {TEMPLATE_BYTES_MAX} bytes"),
            None,
            Some("a summary is one line: drop the loops".into()),
        ),
        ErrorKind::UnknownFilter => {
            let name = quoted("filter ").unwrap_or_default();
            let near = nearest(&name, FILTERS).map(|near| format!("did you mean `{near}`?"));
            (format!("there is no filter `{name}`"), Some(name), Some(near.unwrap_or(format!("some are {}", FILTERS.join(", ")))))
        }
        ErrorKind::SyntaxError => {
            let hint = "a value is written {{ service }}, a condition {% if value > 1 %} … {% endif %}";
            (format!("it is no template: {detail}"), None, Some(hint.into()))
        }
        ErrorKind::InvalidOperation if detail.contains("+ operator") => {
            (format!("it adds what cannot be added: {detail}"), None, Some("texts are joined by ~: {{ service ~ \"!\" }}".into()))
        }
        ErrorKind::InvalidOperation if !detail.is_empty() => (detail, None, None),
        kind if detail.is_empty() => (kind.to_string(), None, None),
        kind => (format!("{kind}: {detail}"), None, None),
    };
    TemplateError { part, word, hint, message }
}

/// The filters that a line for a person may want, for hints.
const FILTERS: [&str; 12] =
    ["round", "int", "float", "abs", "upper", "lower", "title", "capitalize", "trim", "replace", "default", "length"];
