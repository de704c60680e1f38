//! Loads rules and reports everything that is wrong with them: every error of every file, each with its place and a hint.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::common::{DataFusionError, SchemaError};

use crate::rule::file::{self, NoRuleFile, RuleFile};
use crate::rule::front_matter::{self, FrontMatter};
use crate::rule::output::{OutputColumns, OutputError};
use crate::rule::plan::{self, RulePlan};
use crate::rule::sql::{self, Sql};
use crate::rule::template::Templates;
use crate::rule::{Rule, catalog};
use crate::words::diagnostic::{Diagnostic, nearest, offset_of};
use crate::words::event::{Kind, LabelKeys};
use crate::words::limits::RULE_FILE_BYTES_MAX;

/// All rules of some folders, and the labels that they read.
#[derive(Debug, Default)]
pub struct RuleBook {
    /// Sorted by name.
    pub rules: Vec<Rule>,
    /// What the decoder must keep.
    pub label_keys: LabelKeys,
}

/// What is wrong, with the texts of the files to point into.
#[derive(Debug, Default)]
pub struct Complaints {
    /// In the order of files and places.
    pub diagnostics: Vec<Diagnostic>,
    /// The text of each file that could be read.
    pub texts: BTreeMap<PathBuf, Arc<str>>,
}

/// Loads every rule below `paths`. On errors: all of them.
pub fn load(paths: &[PathBuf]) -> Result<RuleBook, Complaints> {
    let mut complaints = Complaints::default();
    let mut files = Vec::new();
    for path in paths {
        match file::find(path) {
            Ok(found) if found.is_empty() => {
                complaints.add(path, 0..0, "no rule files here", Some("rules are files that end in .sql"))
            }
            Ok(found) => files.extend(found.into_iter().filter_map(|path| complaints.read(&path))),
            Err(error) => complaints.add(path, 0..0, format!("cannot be read: {error}"), None),
        }
    }
    from_texts(files, complaints)
}

/// Makes rules of texts that are already in memory, for example those embedded in the binary.
pub fn from_texts(files: Vec<(PathBuf, Arc<str>)>, mut complaints: Complaints) -> Result<RuleBook, Complaints> {
    let mut drafts = Vec::new();
    for (path, text) in files {
        complaints.texts.insert(path.clone(), Arc::clone(&text));
        drafts.extend(Draft::new(path, &text, &mut complaints));
    }
    report_twins(&drafts, &mut complaints);
    let mut label_keys = LabelKeys::default();
    drafts.iter().for_each(|draft| label_keys.extend(&draft.sql.label_keys));
    let mut rules: Vec<Rule> = drafts.into_iter().filter_map(|draft| draft.finish(&label_keys, &mut complaints)).collect();
    if !complaints.diagnostics.is_empty() {
        complaints.diagnostics.sort_by(|a, b| (&a.file, a.span.start, &a.message).cmp(&(&b.file, b.span.start, &b.message)));
        return Err(complaints);
    }
    rules.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(RuleBook { rules, label_keys })
}

impl Complaints {
    fn add(&mut self, file: &Path, span: Range<usize>, message: impl Into<String>, hint: Option<&str>) {
        self.diagnostics.push(Diagnostic {
            file: file.to_path_buf(),
            span,
            message: message.into(),
            hint: hint.map(String::from),
        });
    }

    fn read(&mut self, path: &Path) -> Option<(PathBuf, Arc<str>)> {
        let size = std::fs::metadata(path).map(|meta| meta.len());
        let text = match size {
            Ok(size) if size > RULE_FILE_BYTES_MAX => {
                self.add(path, 0..0, format!("{size} bytes, the limit of a rule file is {RULE_FILE_BYTES_MAX}"), None);
                return None;
            }
            _ => std::fs::read_to_string(path),
        };
        match text {
            Ok(text) => Some((path.to_path_buf(), text.into())),
            Err(error) => {
                self.add(path, 0..0, format!("cannot be read: {error}"), None);
                None
            }
        }
    }
}

/// A rule whose two parts are each well formed, not yet planned.
struct Draft {
    file: RuleFile,
    front: FrontMatter,
    sql: Sql,
    text: String,
}

impl Draft {
    fn new(path: PathBuf, text: &str, complaints: &mut Complaints) -> Option<Self> {
        let file = match RuleFile::new(path.clone(), text) {
            Ok(file) => file,
            Err(error) => {
                let hint = match error {
                    NoRuleFile::NoFrontMatter => {
                        "begin the file with `/*---`, then `rule: name` and the other keys, then `---*/`"
                    }
                    NoRuleFile::Unclosed => "end the front matter with `---*/`",
                };
                complaints.add(&path, 0..text.lines().next().map_or(0, str::len), error.to_string(), Some(hint));
                return None;
            }
        };
        let sql_text = file.sql();
        let front = front_matter::parse(&file).map_err(|errors| complaints.diagnostics.extend(errors));
        let sql = sql::parse(&sql_text).map_err(|errors| {
            errors.into_iter().for_each(|error| complaints.add(&path, error.span, error.message, error.hint.as_deref()));
        });
        // A broken head hides nothing of the SQL: plan it all the same, for the sake of its errors.
        match (front, sql) {
            (Ok(front), Ok(sql)) => Some(Self { file, front, sql, text: sql_text }),
            (Err(()), Ok(sql)) => {
                let label_keys = sql.label_keys.clone();
                if let Err(error) = plan::plan(&sql.statement, &label_keys) {
                    let (span, message, hint) = explain(&error, &sql_text, &label_keys);
                    complaints.add(&path, span, message, hint.as_deref());
                }
                None
            }
            _ => None,
        }
    }

    fn finish(self, label_keys: &LabelKeys, complaints: &mut Complaints) -> Option<Rule> {
        let path = self.file.path.clone();
        let plan = match plan::plan(&self.sql.statement, label_keys) {
            Ok(plan) => plan,
            Err(error) => {
                let (span, message, hint) = explain(&error, &self.text, label_keys);
                complaints.add(&path, span, message, hint.as_deref());
                return None;
            }
        };
        let output = match OutputColumns::new(&plan.schema) {
            Ok(output) => output,
            Err(error) => {
                let hint = match error {
                    OutputError::NoValue => "name one number: `… AS value`",
                    OutputError::ValueNoNumber(_) => "`value` is the number that the alert shows",
                    OutputError::SeverityNoText(_) => "`severity` is 'info', 'warning' or 'critical'",
                    OutputError::Twice(_) => "give each column a name of its own with AS",
                };
                complaints.add(&path, first_word(&self.text), error.to_string(), Some(hint));
                return None;
            }
        };
        let ok = self.names_its_entity(&output, &plan, complaints);
        let mut names = output.template_names();
        if self.front.deviation.is_some() {
            names.extend(["expected", "score"]);
        }
        let templates = Templates::new(self.front.summary.as_deref(), self.front.description.as_deref(), &names);
        let templates = templates.map_err(|errors| {
            errors.iter().for_each(|error| complaints.add(&path, self.front.place(error.part), error.to_string(), None));
        });
        match templates {
            Ok(templates) if ok => Some(Rule { file: self.file, front: self.front, plan, output, templates }),
            _ => None,
        }
    }

    /// An alert about an entity must say which: the entity's column must be a label of every row.
    fn names_its_entity(&self, output: &OutputColumns, plan: &RulePlan, complaints: &mut Complaints) -> bool {
        let Some(entity) = &self.front.entity else { return true };
        let names: Vec<&str> = output.label_names().collect();
        if names.contains(&entity.as_str()) {
            return true;
        }
        let hint = if plan.aggregates.iter().all(|aggregate| aggregate.group.is_empty()) {
            format!("add `{entity}` to the SELECT list and a `GROUP BY {entity}`: without it all {entity}s make one alert")
        } else {
            match nearest(entity, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add `{entity}` to the SELECT list and to GROUP BY; the labels now are: {}", names.join(", ")),
            }
        };
        complaints.add(
            &self.file.path,
            self.front.place("entity"),
            format!("the rule names the entity `{entity}`, which is no label of its result"),
            Some(&hint),
        );
        false
    }
}

fn report_twins(drafts: &[Draft], complaints: &mut Complaints) {
    let mut first: BTreeMap<&str, &Path> = BTreeMap::new();
    for draft in drafts {
        if let Some(other) = first.get(draft.front.rule.as_str()) {
            let message = format!("the rule name `{}` is taken by {}", draft.front.rule, other.display());
            complaints.add(
                &draft.file.path,
                draft.front.place("rule"),
                message,
                Some("a rule's name is part of its alerts' identity: give each rule its own"),
            );
        } else {
            first.insert(&draft.front.rule, &draft.file.path);
        }
    }
}

/// The place, the message and a hint for a planner's error.
fn explain(error: &DataFusionError, text: &str, label_keys: &LabelKeys) -> (Range<usize>, String, Option<String>) {
    let diagnostic = error.diagnostic();
    let place = diagnostic.and_then(|found| found.span.or_else(|| found.notes.iter().find_map(|note| note.span)));
    let span = place.map(|span| {
        let start = offset_of(text, span.start.line as usize, span.start.column as usize);
        start..offset_of(text, span.end.line as usize, span.end.column as usize).max(start)
    });
    let innermost = plan::innermost(error);
    let raw = innermost.strip_backtrace();
    let raw = raw.trim_start_matches("Error during planning: ").trim_start_matches("This feature is not implemented: ");
    if let DataFusionError::SchemaError(schema_error, _) = innermost
        && let SchemaError::FieldNotFound { field, valid_fields } = schema_error.as_ref()
    {
        let hint = unknown_column_hint(&field.name, valid_fields.iter().map(|column| column.name.as_str()), label_keys);
        let span = span.unwrap_or_else(|| find_word(text, &field.name));
        return (span, format!("unknown column `{}`", field.name), Some(hint));
    }
    if let Some(name) = raw.strip_prefix("Invalid function '").and_then(|tail| tail.split('\'').next()) {
        let span = span.unwrap_or_else(|| find_word(text, name));
        return match catalog::refusal(&name.to_lowercase()) {
            Some(why) => (span, format!("{name}() is not allowed in a rule"), Some(why.to_string())),
            None => {
                let hint = nearest(name, catalog::function_names()).map(|near| format!("did you mean `{near}`?"));
                (span, format!("unknown function {name}()"), hint)
            }
        };
    }
    if let Some(name) = raw.strip_prefix("table '").and_then(|tail| tail.split('\'').next()) {
        let tables = Kind::ALL.map(Kind::table);
        let hint = nearest(name, tables)
            .map_or_else(|| format!("the tables are {}", tables.join(", ")), |near| format!("did you mean `{near}`?"));
        return (span.unwrap_or_else(|| find_word(text, name)), format!("unknown table `{name}`"), Some(hint));
    }
    let (message, hint) = match raw.split_once(": ") {
        Some((message, hint)) if raw.len() < 240 && !message.contains(['(', '\'']) => (message, Some(hint.to_string())),
        _ => (raw, None),
    };
    let message = message.lines().next().unwrap_or_default();
    (span.unwrap_or_else(|| first_word(text)), message.to_string(), hint)
}

fn unknown_column_hint<'a>(wrong: &str, known: impl Iterator<Item = &'a str>, label_keys: &LabelKeys) -> String {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    known.dedup();
    if wrong == "labels" {
        return "a label is read by its key: labels['region']".into();
    }
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let keys: Vec<&str> = Kind::ALL.iter().flat_map(|kind| label_keys.of(*kind)).collect();
            let plain: Vec<&str> = known.into_iter().filter(|name| !keys.iter().any(|key| name.contains(key))).collect();
            format!("the columns are {}; a label is labels['{wrong}']", plain.join(", "))
        }
    }
}

fn find_word(text: &str, word: &str) -> Range<usize> {
    text.find(word).map_or_else(|| first_word(text), |at| at..at + word.len())
}

fn first_word(text: &str) -> Range<usize> {
    let sql = strip_comments(text);
    let start = sql.len() - sql.trim_start().len();
    let end = sql[start..].find(char::is_whitespace).map_or(sql.len(), |at| start + at);
    start..end
}

/// Line comments blanked out, byte for byte, so that the first word is a word of SQL.
fn strip_comments(text: &str) -> String {
    let blank = |line: &str| match line.find("--") {
        Some(at) => format!("{}{}", &line[..at], " ".repeat(line.len() - at)),
        None => line.to_string(),
    };
    text.split('\n').map(blank).collect::<Vec<_>>().join("\n")
}
