//! Loads rules and reports everything that is wrong with them: every error of every file, each with its place and a hint.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::diagnostic::{Diagnostic, nearest};
use crate::model::event::LabelKeys;
use crate::model::limits::{CHECK_STACK_BYTES, ERRORS_PER_FILE_MAX, RULE_FILE_BYTES_MAX};
use crate::rule::Rule;
use crate::rule::definition::detectors::DetectorSpec;
use crate::rule::definition::file::{self, NoRuleFile, RuleFile};
use crate::rule::definition::front_matter::{self, FrontMatter};
use crate::rule::definition::output_columns::{OutputColumns, OutputError};
use crate::rule::definition::template::Templates;
use crate::rule::definition::window_spec::WindowSpec;
use crate::rule::plan::stream_scan::Leaf;
use crate::rule::plan::{self, PlanContext, RulePlan};
use crate::rule::sql::cross_check;
use crate::rule::sql::planner_errors::explain;
use crate::rule::sql::query::{self, Sql, SqlError};

/// All rules of some folders, and the labels that they read.
#[derive(Debug, Default)]
pub struct LoadedRules {
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
pub fn load(paths: &[PathBuf]) -> Result<LoadedRules, Complaints> {
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
pub fn from_texts(files: Vec<(PathBuf, Arc<str>)>, complaints: Complaints) -> Result<LoadedRules, Complaints> {
    // How deep a query is shows when it has been read, and whoever reads and frees one that is too deep needs the stack for it.
    let reader = std::thread::Builder::new().name("rules".into()).stack_size(CHECK_STACK_BYTES);
    std::thread::scope(|scope| match reader.spawn_scoped(scope, move || read_texts(files, complaints)) {
        Ok(reader) => reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        Err(error) => {
            let mut complaints = Complaints::default();
            complaints.add(Path::new("rules"), 0..0, format!("no thread can be started to read them: {error}"), None);
            Err(complaints)
        }
    })
}

fn read_texts(files: Vec<(PathBuf, Arc<str>)>, mut complaints: Complaints) -> Result<LoadedRules, Complaints> {
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
        complaints.shorten();
        return Err(complaints);
    }
    rules.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(LoadedRules { rules, label_keys })
}

impl Complaints {
    pub(crate) fn add(&mut self, file: &Path, span: Range<usize>, message: impl Into<String>, hint: Option<&str>) {
        self.diagnostics.push(Diagnostic {
            file: file.to_path_buf(),
            span,
            message: message.into(),
            hint: hint.map(String::from),
        });
    }

    /// Of each file the first errors, and how many more there are.
    fn shorten(&mut self) {
        let mut told: BTreeMap<PathBuf, usize> = BTreeMap::new();
        self.diagnostics.retain(|diagnostic| {
            let before = told.entry(diagnostic.file.clone()).or_default();
            *before += 1;
            *before <= ERRORS_PER_FILE_MAX
        });
        for (file, errors) in told.into_iter().filter(|(_, errors)| *errors > ERRORS_PER_FILE_MAX) {
            let end = self.texts.get(&file).map_or(0, |text| text.trim_end().len());
            self.add(&file, end..end, format!("{} more errors", errors - ERRORS_PER_FILE_MAX), Some("mend those above first"));
        }
    }

    fn add_sql(&mut self, file: &Path, error: SqlError) {
        self.diagnostics.push(Diagnostic {
            file: file.to_path_buf(),
            span: error.span,
            message: error.message,
            hint: error.hint,
        });
    }

    fn read(&mut self, path: &Path) -> Option<(PathBuf, Arc<str>)> {
        match read(path) {
            Ok(text) => Some((path.to_path_buf(), text)),
            Err(why) => {
                self.add(path, 0..0, why, None);
                None
            }
        }
    }
}

/// The text of a rule file, or why there is none.
pub(crate) fn read(path: &Path) -> Result<Arc<str>, String> {
    let cannot = |error| format!("cannot be read: {error}");
    match std::fs::metadata(path).map_err(cannot)? {
        // Who reads a pipe or a device may wait for ever, or read without end.
        meta if !meta.is_file() => Err("no file: rules are read from files".into()),
        meta if meta.len() > RULE_FILE_BYTES_MAX => {
            Err(format!("{} bytes, the limit of a rule file is {RULE_FILE_BYTES_MAX}", meta.len()))
        }
        _ => std::fs::read_to_string(path).map(Arc::from).map_err(cannot),
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
        let sql = query::parse(&sql_text).map_err(|errors| {
            errors.into_iter().for_each(|error| complaints.add_sql(&path, error));
        });
        // A broken head hides nothing of the SQL: plan it all the same, for the sake of its errors.
        match (front, sql) {
            (Ok(front), Ok(sql)) => Some(Self { file, front, sql, text: sql_text }),
            (Err(()), Ok(sql)) => {
                let label_keys = sql.label_keys.clone();
                // What the head would say of windows and single events is not known: the errors are about the rest.
                let windows = cross_check::windows_read(&sql.statement);
                let says = |key: &str| file.front_matter().lines().any(|line| line.starts_with(key));
                let single = says("instant:") || says("sequence:");
                let context = PlanContext { label_keys: &label_keys, windows: &windows, instant: false };
                if let Err(error) = plan::plan(&sql.statement, context) {
                    let error = explain(&error, &sql_text);
                    if !(single && error.message == plan::RAW_ROWS) {
                        complaints.add_sql(&path, error);
                    }
                }
                None
            }
            _ => None,
        }
    }

    fn finish(self, label_keys: &LabelKeys, complaints: &mut Complaints) -> Option<Rule> {
        let path = self.file.path.clone();
        let windows: Vec<String> = self.front.windows.iter().map(|window| window.name.clone()).collect();
        if !self.fits_its_head(&windows, complaints) {
            return None;
        }
        let context = PlanContext { label_keys, windows: &windows, instant: self.front.window_spec == WindowSpec::Instant };
        let plan = match plan::plan(&self.sql.statement, context) {
            Ok(plan) => plan,
            Err(error) => {
                complaints.add_sql(&path, explain(&error, &self.text));
                return None;
            }
        };
        if matches!(self.front.window_spec, WindowSpec::Session { .. })
            && let Some(Leaf::Rows(rows)) = plan.leaves.iter().find(|leaf| matches!(leaf, Leaf::Rows(_)))
        {
            let message = format!("rows of `{}` are used before they are aggregated", rows.stream.kind.table());
            let hint = "a session keeps no rows, however long it lasts: aggregate first, then join or rank the results; or give the rule a `window`";
            complaints.add(&path, self.front.place("session"), message, Some(hint));
            return None;
        }
        let with_detector = |output: OutputColumns| match &self.front.detector {
            Some(detector) => output.with_detector(detector),
            None => Ok(output),
        };
        let output = match OutputColumns::new(&plan.schema).and_then(with_detector) {
            Ok(output) => output,
            Err(error) => {
                complaints.add_sql(&path, self.no_output(&error, &plan));
                return None;
            }
        };
        self.sql.groups_not_selected.iter().for_each(|error| complaints.add_sql(&path, error.clone()));
        let detector_ok = self.detector_names_labels(&output, complaints);
        let ends_ok = self.names_its_ends(&output, &plan, complaints);
        let ok = ends_ok && detector_ok && self.sql.groups_not_selected.is_empty();
        let templates = Templates::new(self.front.summary.as_deref(), self.front.description.as_deref(), &output);
        let templates = templates.map_err(|errors| {
            for error in errors {
                let place = self.front.place(error.part);
                let span = error.word.as_deref().and_then(|word| self.word_in(place.start, word)).unwrap_or(place);
                complaints.add(&path, span, error.to_string(), error.hint.as_deref());
            }
        });
        match templates {
            Ok(templates) if ok => Some(Rule { file: self.file, front: self.front, plan, output, templates }),
            _ => None,
        }
    }

    /// Whether SQL and front matter speak of the same windows, steps and events.
    fn fits_its_head(&self, windows: &[String], complaints: &mut Complaints) -> bool {
        let statement = &self.sql.statement;
        let mut errors = cross_check::unknown_windows(&self.text, statement, windows);
        if self.front.window_spec == WindowSpec::Instant {
            let by = if self.front.place("sequence") == (0..0) { "instant" } else { "sequence" };
            errors.extend(cross_check::not_of_single_events(&self.text, statement, by));
        }
        let head = |key: &str, word: &str| {
            let place = self.front.place(key);
            self.word_in(place.start, word).unwrap_or(place)
        };
        let read = cross_check::windows_read(statement);
        // A misspelt one stands for it: then that is the complaint.
        let misspelt = !errors.is_empty();
        for window in windows.iter().filter(|window| !misspelt && !read.contains(window)) {
            let hint = format!("read it in the SQL: `FROM {window}.metrics`; or leave it out");
            let message = format!("nothing reads the window `{window}`");
            errors.push(SqlError { span: head("windows", window), message, hint: Some(hint) });
        }
        if let (Some(DetectorSpec::Sequence(spec)), Some(written)) = (&self.front.detector, cross_check::steps_written(statement))
        {
            for step in spec.steps.iter().filter(|step| !written.contains(step)) {
                let hint = match nearest(step, written.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the column `step` holds {}", written.join(", ")),
                };
                let message = format!("no row is the step `{step}`");
                errors.push(SqlError { span: head("sequence", step), message, hint: Some(hint) });
            }
        }
        let fits = errors.is_empty();
        errors.into_iter().for_each(|error| complaints.add_sql(&self.file.path, error));
        fits
    }

    /// The place of a whole word in the front matter, from `start` on.
    fn word_in(&self, start: usize, word: &str) -> Option<Range<usize>> {
        let head = &self.file.text[..self.file.front.end];
        let part_of_a_word = |c: char| c.is_alphanumeric() || c == '_';
        let alone = |at: &usize| {
            let ahead = head[..*at].chars().next_back().is_some_and(part_of_a_word);
            !ahead && !head[at + word.len()..].starts_with(part_of_a_word)
        };
        let at = head.get(start..)?.match_indices(word).map(|(at, _)| start + at).find(alone)?;
        Some(at..at + word.len())
    }

    /// Why the result cannot become alerts, with the place of the column.
    fn no_output(&self, error: &OutputError, plan: &RulePlan) -> SqlError {
        let place = |name: &str| query::output_column(&self.text, &self.sql.statement, name);
        let numbers = || plan.schema.fields().iter().filter(|field| field.data_type().is_numeric());
        let (span, hint) = match error {
            OutputError::NoValue => match (numbers().next(), numbers().nth(1)) {
                (Some(only), None) if place(only.name()).is_some() => {
                    (place(only.name()), format!("write `AS value` instead of `AS {}`", only.name()))
                }
                _ => (None, "name one number: `… AS value`".into()),
            },
            OutputError::ValueNoNumber(_) => (place("value"), "`value` is the number that the alert shows".into()),
            OutputError::SeverityNoText(_) => (place("severity"), "`severity` is 'info', 'warning' or 'critical'".into()),
            OutputError::Time(name) => {
                let hint = "leave it out: an alert has a time as it is; a number of a time is extract(epoch FROM …)";
                (place(name), hint.into())
            }
            OutputError::Added { name, .. } => (place(name), "give the column another name with AS".into()),
            OutputError::NoStep => (None, "say which step a row is: `CASE WHEN … THEN 'failed' ELSE 'ok' END AS step`".into()),
            OutputError::Twice(name) => (place(name), "give each column a name of its own with AS".into()),
        };
        SqlError { span: span.unwrap_or_else(|| query::first_word(&self.text)), message: error.to_string(), hint: Some(hint) }
    }

    /// What a detector names in the front matter must be labels of every row.
    fn detector_names_labels(&self, output: &OutputColumns, complaints: &mut Complaints) -> bool {
        let Some(detector) = &self.front.detector else { return true };
        let wrong = detector.wrong_labels(&output.label_names().collect::<Vec<_>>());
        for wrong in &wrong {
            let place = wrong.place(&self.file.text, &self.front.place(detector.key()), self.file.front.end);
            complaints.add(&self.file.path, place, wrong.message.clone(), wrong.hint.as_deref());
        }
        wrong.is_empty()
    }

    /// An alert about an entity must say which: the columns of the entity and of its peer must be labels of every row.
    fn names_its_ends(&self, output: &OutputColumns, plan: &RulePlan, complaints: &mut Complaints) -> bool {
        let ends = [("entity", &self.front.entity), ("peer", &self.front.peer)];
        let named = ends.map(|(key, column)| column.as_ref().is_none_or(|it| self.names_its(key, it, output, plan, complaints)));
        named.into_iter().all(|named| named)
    }

    fn names_its(
        &self,
        key: &'static str,
        entity: &String,
        output: &OutputColumns,
        plan: &RulePlan,
        complaints: &mut Complaints,
    ) -> bool {
        let names: Vec<&str> = output.label_names().collect();
        if names.contains(&entity.as_str()) {
            return true;
        }
        let hint = if !plan.is_grouped() {
            format!("add `{entity}` to the SELECT list and a `GROUP BY {entity}`: without it all {entity}s make one alert")
        } else {
            match nearest(entity, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add `{entity}` to the SELECT list and to GROUP BY; the labels now are: {}", names.join(", ")),
            }
        };
        complaints.add(
            &self.file.path,
            self.front.place(key),
            format!("the rule names the {key} `{entity}`, which is no label of its result"),
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
