//! What a rule says to people: minijinja templates over an alert's labels, value and other columns.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior, Value};

use crate::rule::output::Breach;

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
    message: String,
}

impl Templates {
    /// Compiles both texts. `columns` are the names that they may use; any other name is an error now, not at three at night.
    pub fn new(summary: Option<&str>, description: Option<&str>, columns: &[&str]) -> Result<Self, Vec<TemplateError>> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        let mut errors = Vec::new();
        for (part, text) in [(SUMMARY, summary), (DESCRIPTION, description)] {
            let Some(text) = text else { continue };
            if let Err(error) = environment.add_template_owned(part, text.to_string()) {
                errors.push(TemplateError { part, message: message_of(&error) });
                continue;
            }
            let Ok(template) = environment.get_template(part) else { continue };
            let mut unknown: Vec<String> = template
                .undeclared_variables(false)
                .into_iter()
                .filter(|name| !columns.contains(&name.as_str()) && name != "range")
                .collect();
            unknown.sort();
            for name in unknown {
                let near = crate::words::diagnostic::nearest(&name, columns.iter().copied());
                let hint = near.map_or(format!("the row has {}", columns.join(", ")), |near| format!("did you mean `{near}`?"));
                errors.push(TemplateError { part, message: format!("the row has no `{name}`: {hint}") });
            }
        }
        if errors.is_empty() { Ok(Self { environment }) } else { Err(errors) }
    }

    /// What the templates may name, for one breach: labels that are absent are empty texts.
    pub fn row(&self, breach: &Breach, severity: &str) -> BTreeMap<String, Value> {
        let labels = breach.labels.iter().map(|(name, text)| (name.to_string(), Value::from(text)));
        let numbers = breach.numbers.iter().map(|(name, number)| (name.clone(), Value::from(*number)));
        let own = [("value".to_string(), Value::from(breach.value)), ("severity".to_string(), Value::from(severity))];
        labels.chain(numbers).chain(own).collect()
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
    fn render(&self, part: &str, row: &BTreeMap<String, Value>) -> Option<String> {
        let template = self.environment.get_template(part).ok()?;
        Some(template.render(row).unwrap_or_else(|error| format!("({part} could not be written: {})", message_of(&error))))
    }
}

fn message_of(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()))
}
