//! Loads rules and reports everything that is wrong with them: every error of every file, each with its place and a hint.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::diagnostic::report::Report;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::diagnostic::{Diagnostic, nearest};
use crate::model::event::LabelKeys;
use crate::model::limits::{CHECK_STACK_BYTES, LOOKUP_FILE_BYTES_MAX, RULE_FILE_BYTES_MAX};
use crate::model::local_time::Zone;
use crate::rule::Rule;
use crate::rule::aggregate::series::udaf::unknown_window;
use crate::rule::definition::active::Active;
use crate::rule::definition::column_name::is_word;
use crate::rule::definition::detectors::DetectorSpec;
use crate::rule::definition::detectors::map_reader::word_of;
use crate::rule::definition::file::{self, NoRuleFile, RuleFile};
use crate::rule::definition::front_matter::{self, FrontMatter};
use crate::rule::definition::output_columns::{OutputColumns, OutputError};
use crate::rule::definition::template::Templates;
use crate::rule::definition::window_spec::WindowSpec;
use crate::rule::lookup;
use crate::rule::lookup::files::is_lookup;
use crate::rule::lookup::table::{LookupTable, Lookups, OWNERS, name_of};
use crate::rule::plan::stream_scan::Leaf;
use crate::rule::plan::{self, PlanContext, RulePlan};
use crate::rule::sql::cross_check;
use crate::rule::sql::places::{find_word, first_word, output_column};
use crate::rule::sql::planner_errors::explain;
use crate::rule::sql::query::{self, Sql};

/// All rules of some folders, the lookups, and the labels that they read.
#[derive(Debug, Default)]
pub struct LoadedRules {
    /// Sorted by name.
    pub rules: Vec<Rule>,
    /// By name.
    pub lookups: Lookups,
    /// What the decoder must keep.
    pub label_keys: LabelKeys,
}

/// Loads every rule below `paths`. On errors: all of them.
pub fn load(paths: &[PathBuf]) -> Result<LoadedRules, Report> {
    load_with(paths, None, Zone::default())
}

/// Loads every rule below `paths`, with the lookups in a folder, and the time zone of rules that name none. On errors: all of them.
pub fn load_with(paths: &[PathBuf], lookups: Option<&Path>, zone: Zone) -> Result<LoadedRules, Report> {
    let mut report = Report::default();
    let mut files = Vec::new();
    if let Some(dir) = lookups {
        match lookup::files::find(dir) {
            Ok(found) => files.extend(texts_of(found, &mut report)),
            Err(error) => report.add(dir, Diagnostic::without_hint(0..0, format!("the lookups cannot be read: {error}"))),
        }
    }
    for path in paths {
        match file::find(path) {
            Ok(found) if found.is_empty() => {
                report.add(path, Diagnostic::new(0..0, "no rule files here", "rules are files that end in .sql"))
            }
            Ok(found) => files.extend(texts_of(found, &mut report)),
            Err(error) => report.add(path, Diagnostic::without_hint(0..0, format!("cannot be read: {error}"))),
        }
    }
    on_a_large_stack(files, zone, report)
}

/// The files that can be read, with their texts.
fn texts_of(paths: Vec<PathBuf>, report: &mut Report) -> Vec<(PathBuf, Arc<str>)> {
    let text = |path: PathBuf| match read(&path) {
        Ok(text) => Some((path, text)),
        Err(why) => {
            report.add(&path, Diagnostic::without_hint(0..0, why));
            None
        }
    };
    paths.into_iter().filter_map(text).collect()
}

/// Makes rules of texts that are already in memory, for example those embedded in the binary.
pub fn from_texts(files: Vec<(PathBuf, Arc<str>)>) -> Result<LoadedRules, Report> {
    from_texts_in(files, Zone::default())
}

/// The same, with the time zone of rules that name none.
pub fn from_texts_in(files: Vec<(PathBuf, Arc<str>)>, zone: Zone) -> Result<LoadedRules, Report> {
    on_a_large_stack(files, zone, Report::default())
}

/// How deep a query is shows when it has been read, and whoever reads and frees one that is too deep needs the stack for it.
fn on_a_large_stack(files: Vec<(PathBuf, Arc<str>)>, zone: Zone, report: Report) -> Result<LoadedRules, Report> {
    let reader = std::thread::Builder::new().name("rules".into()).stack_size(CHECK_STACK_BYTES);
    std::thread::scope(|scope| match reader.spawn_scoped(scope, move || read_texts(files, zone, report)) {
        Ok(reader) => reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        Err(error) => {
            let mut report = Report::default();
            let message = format!("no thread can be started to read them: {error}");
            report.add(Path::new("rules"), Diagnostic::without_hint(0..0, message));
            Err(report)
        }
    })
}

fn read_texts(files: Vec<(PathBuf, Arc<str>)>, zone: Zone, mut report: Report) -> Result<LoadedRules, Report> {
    let (tables, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|(path, _)| is_lookup(path));
    let lookups = read_lookups(tables, &mut report);
    let mut drafts = Vec::new();
    for (path, text) in files {
        report.add_text(&path, Arc::clone(&text));
        drafts.extend(Draft::new(path, &text, zone, &mut report));
    }
    report_names_taken(&drafts, &mut report);
    let mut label_keys = LabelKeys::default();
    drafts.iter().for_each(|draft| label_keys.extend(&draft.sql.label_keys));
    let mut rules: Vec<Rule> = drafts.into_iter().filter_map(|draft| draft.finish(&label_keys, &lookups, &mut report)).collect();
    if !report.is_empty() {
        report.sort();
        return Err(report);
    }
    rules.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(LoadedRules { rules, lookups: lookups.good, label_keys })
}

/// Lookups, and the names of those whose files are bad: what reads them is no error of its own.
#[derive(Default)]
struct ReadLookups {
    good: Lookups,
    bad: BTreeSet<String>,
}

fn read_lookups(files: Vec<(PathBuf, Arc<str>)>, report: &mut Report) -> ReadLookups {
    let mut lookups = ReadLookups::default();
    for (path, text) in files {
        report.add_text(&path, Arc::clone(&text));
        match LookupTable::new(&path, &text) {
            Ok(table) => match lookups.good.entry(table.name.clone()) {
                Entry::Vacant(free) => drop(free.insert(Arc::new(table))),
                Entry::Occupied(taken) => {
                    let message = format!("the lookup `{}` is in {} already", table.name, taken.get().path.display());
                    report.add(&path, Diagnostic::new(0..0, message, "give one of the files another name"));
                }
            },
            Err(errors) => {
                report.extend(&path, errors);
                lookups.bad.insert(name_of(&path));
            }
        }
    }
    lookups
}

/// The text of a rule file, or why there is none.
pub(crate) fn read(path: &Path) -> Result<Arc<str>, String> {
    let cannot = |error| format!("cannot be read: {error}");
    match std::fs::metadata(path).map_err(cannot)? {
        // Who reads a pipe or a device may wait for ever, or read without end.
        meta if !meta.is_file() => Err("no file: rules are read from files".into()),
        meta if is_lookup(path) && meta.len() > LOOKUP_FILE_BYTES_MAX => {
            Err(format!("{} bytes, the limit of a lookup is {LOOKUP_FILE_BYTES_MAX}", meta.len()))
        }
        meta if !is_lookup(path) && meta.len() > RULE_FILE_BYTES_MAX => {
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
    fn new(path: PathBuf, text: &str, zone: Zone, report: &mut Report) -> Option<Self> {
        let file = match RuleFile::new(path.clone(), text) {
            Ok(file) => file,
            Err(error) => {
                let hint = match error {
                    NoRuleFile::NoFrontMatter => {
                        "begin the file with `/*---`, then `rule: name` and the other keys, then `---*/`"
                    }
                    NoRuleFile::Unclosed => "end the front matter with `---*/`",
                };
                let first_line = 0..text.lines().next().map_or(0, str::len);
                report.add(&path, Diagnostic::new(first_line, error.to_string(), hint));
                return None;
            }
        };
        let sql_text = file.sql();
        let front = front_matter::parse(&file).map(|front| front.in_zone(zone)).map_err(|errors| report.extend(&path, errors));
        let zone = front.as_ref().ok().and_then(|front| front.time_zone).unwrap_or(zone);
        let sql = query::parse_in(&sql_text, zone).map_err(|errors| report.extend(&path, errors));
        // Broken front matter hides nothing of the SQL: it is planned all the same, for its errors.
        match (front, sql) {
            (Ok(front), Ok(sql)) => Some(Self { file, front, sql, text: sql_text }),
            (Err(()), Ok(sql)) => {
                let label_keys = sql.label_keys.clone();
                // What the front matter has to do with windows and single events is not known: the errors are about the others.
                let windows = cross_check::windows_read(&sql.statement);
                let head = &file.text[file.front.clone()];
                let single = head.lines().any(|line| line.starts_with("instant:") || line.starts_with("sequence:"));
                let lookups = Lookups::default();
                let reads_lookups = !cross_check::lookups_read(&sql.statement).is_empty();
                let context = PlanContext { label_keys: &label_keys, windows: &windows, lookups: &lookups, instant: false };
                if !reads_lookups && let Err(error) = plan::plan(&sql.statement, context) {
                    let error = explain(&error, &sql_text);
                    if !(single && error.message == plan::RAW_ROWS) {
                        report.add(&path, error);
                    }
                }
                None
            }
            _ => None,
        }
    }

    fn finish(self, label_keys: &LabelKeys, lookups: &ReadLookups, report: &mut Report) -> Option<Rule> {
        let path = self.file.path.clone();
        let windows: Vec<String> = self.front.windows.iter().map(|window| window.name.clone()).collect();
        let mut read: Vec<String> = cross_check::lookups_read(&self.sql.statement).into_iter().map(|name| name.value).collect();
        read.extend(self.front.active.iter().flat_map(|active| active.except.clone()));
        if !self.fits_front_matter(&windows, report) || read.iter().any(|name| lookups.bad.contains(name)) {
            return None;
        }
        let unknown = cross_check::unknown_lookups(&self.text, &self.sql.statement, lookups.good.keys().map(String::as_str));
        if !unknown.is_empty() {
            report.extend(&path, unknown);
            return None;
        }
        let active = self.active(lookups, report).ok()?;
        let context = PlanContext {
            label_keys,
            windows: &windows,
            lookups: &lookups.good,
            instant: self.front.window_spec == WindowSpec::Instant,
        };
        let plan = match plan::plan(&self.sql.statement, context) {
            Ok(plan) => plan,
            Err(error) => {
                report.add(&path, explain(&error, &self.text));
                return None;
            }
        };
        if matches!(self.front.window_spec, WindowSpec::Session { .. })
            && let Some(Leaf::Rows(rows)) = plan.leaves.iter().find(|leaf| matches!(leaf, Leaf::Rows(_)))
        {
            let message = format!("rows of `{}` are used before they are aggregated", rows.stream.kind.table());
            let hint = "a session keeps no rows, however long it lasts: aggregate first, then join or rank the results; or give the rule a `window`";
            report.add(&path, Diagnostic::new(self.front.place("session"), message, hint));
            return None;
        }
        if matches!(self.front.window_spec, WindowSpec::Session { .. })
            && let Some(name) =
                plan.aggregates().flat_map(|source| &source.columns).find_map(|column| unknown_window(&column.function))
        {
            let message = format!("{name}() needs to know its window, and a session has no length of its own");
            let hint = "use increase(value) or delta(value), or give the rule a `window`";
            let span = find_word(&self.text, name).unwrap_or_else(|| first_word(&self.text));
            report.add(&path, Diagnostic::new(span, message, hint));
            return None;
        }
        let with_detector = |output: OutputColumns| match &self.front.detector {
            Some(detector) => output.with_detector(detector),
            None => Ok(output),
        };
        let output = match OutputColumns::new(&plan.schema).and_then(with_detector) {
            Ok(output) => output,
            Err(error) => {
                report.add(&path, self.no_output(&error, &plan));
                return None;
            }
        };
        self.sql.groups_not_selected.iter().for_each(|error| report.add(&path, error.clone()));
        let detector_ok = self.detector_names_labels(&output, report);
        let ends_ok = self.names_its_ends(&output, &plan, report);
        let ok = ends_ok && detector_ok && self.sql.groups_not_selected.is_empty();
        let templates = Templates::new(self.front.summary.as_deref(), self.front.description.as_deref(), &output);
        let templates = templates.map_err(|errors| {
            for error in errors {
                let place = self.front.place(error.part);
                let word = error.word.as_deref().and_then(|word| find_word(&self.file.text[place.clone()], word));
                let span = word.map_or(place.clone(), |word| place.start + word.start..place.start + word.end);
                report.add(&path, Diagnostic { span, message: error.to_string(), hint: error.hint });
            }
        });
        match templates {
            Ok(templates) if ok => {
                let lookups = lookups
                    .good
                    .iter()
                    .filter(|(name, _)| read.contains(name) || *name == OWNERS)
                    .map(|(_, table)| Arc::clone(table));
                Some(Rule { file: self.file, front: self.front, plan, output, templates, active, lookups: lookups.collect() })
            }
            _ => None,
        }
    }

    /// When breaches count, with the days of the lookup that `except` names. What is wrong with them is reported.
    fn active(&self, lookups: &ReadLookups, report: &mut Report) -> Result<Option<Active>, ()> {
        let Some(spec) = &self.front.active else { return Ok(None) };
        let mut active =
            Active { hours: spec.hours.clone(), zone: self.front.time_zone.unwrap_or_default(), except: BTreeSet::new() };
        let Some(name) = &spec.except else { return Ok(Some(active)) };
        let place = self.front.node("active").and_then(|node| node.get("except")).map_or(0..0, |node| node.span.clone());
        let Some(table) = lookups.good.get(name) else {
            let hint = match nearest(name, lookups.good.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write lookups/{name}.csv with a column `date` of days such as 2026-12-25"),
            };
            report.add(&self.file.path, Diagnostic::new(place, format!("unknown lookup `{name}`"), hint));
            return Err(());
        };
        match table.days() {
            Ok(days) => active.except = days,
            Err(message) => {
                let hint =
                    format!("the first column of {}, or its column `date`, has days such as 2026-12-25", table.path.display());
                report.add(&self.file.path, Diagnostic::new(place, message, hint));
                return Err(());
            }
        }
        Ok(Some(active))
    }

    /// Whether SQL and front matter speak of the same windows, steps and events.
    fn fits_front_matter(&self, windows: &[String], report: &mut Report) -> bool {
        let statement = &self.sql.statement;
        let mut errors = cross_check::unknown_windows(&self.text, statement, windows);
        if self.front.window_spec == WindowSpec::Instant {
            let by = if self.front.place("sequence") == (0..0) { "instant" } else { "sequence" };
            errors.extend(cross_check::not_of_single_events(&self.text, statement, by));
        }
        let read = cross_check::windows_read(statement);
        // A misspelt one stands for it: then that is the error.
        let misspelt = !errors.is_empty();
        for window in windows.iter().filter(|window| !misspelt && !read.contains(window)) {
            let hint = format!("read it in the SQL: `FROM {window}.metrics`; or leave it out");
            let message = format!("nothing reads the window `{window}`");
            let written = self.front.node("windows").and_then(|node| node.entry(window));
            let span = written.map_or(self.front.place("windows"), |entry| entry.key_span.clone());
            errors.push(Diagnostic::new(span, message, hint));
        }
        if let (Some(DetectorSpec::Sequence(spec)), Some(written)) = (&self.front.detector, cross_check::steps_written(statement))
        {
            for step in spec.steps.iter().filter(|step| !written.contains(step)) {
                let hint = match nearest(step, written.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the column `step` holds {}", written.join(", ")),
                };
                let message = format!("no row is the step `{step}`");
                errors.push(Diagnostic::new(self.place_of_step(step), message, hint));
            }
        }
        let fits = errors.is_empty();
        errors.into_iter().for_each(|error| report.add(&self.file.path, error));
        fits
    }

    /// The place of a step in the front matter's list.
    fn place_of_step(&self, step: &str) -> Range<usize> {
        let steps = self.front.node("sequence").and_then(|node| node.get("steps"));
        let items = steps.and_then(Node::items).unwrap_or_default();
        let written = items.iter().find(|item| item.scalar().and_then(word_of).as_deref() == Some(step));
        written.map_or(self.front.place("sequence"), |item| item.span.clone())
    }

    /// Why the result cannot become alerts, with the place of the column.
    fn no_output(&self, error: &OutputError, plan: &RulePlan) -> Diagnostic {
        let place = |name: &str| output_column(&self.text, &self.sql.statement, name);
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
        Diagnostic::new(span.unwrap_or_else(|| first_word(&self.text)), error.to_string(), hint)
    }

    /// What a detector names in the front matter must be labels of every row.
    fn detector_names_labels(&self, output: &OutputColumns, report: &mut Report) -> bool {
        let Some(detector) = &self.front.detector else { return true };
        let Some(node) = self.front.node(detector.key()) else { return true };
        let wrong = detector.wrong_labels(node, &output.label_names().collect::<Vec<_>>());
        let none = wrong.is_empty();
        report.extend(&self.file.path, wrong);
        none
    }

    /// An alert about an entity must say which: the columns of the entity and of its peer must be labels of every row.
    fn names_its_ends(&self, output: &OutputColumns, plan: &RulePlan, report: &mut Report) -> bool {
        let ends = [("entity", &self.front.entity), ("peer", &self.front.peer)];
        let named = ends.map(|(key, column)| column.as_ref().is_none_or(|it| self.names_its(key, it, output, plan, report)));
        named.into_iter().all(|named| named)
    }

    fn names_its(
        &self,
        key: &'static str,
        entity: &String,
        output: &OutputColumns,
        plan: &RulePlan,
        report: &mut Report,
    ) -> bool {
        let names: Vec<&str> = output.label_names().collect();
        if names.contains(&entity.as_str()) {
            return true;
        }
        let hint = if !plan.is_grouped() {
            format!("add `{entity}` to the SELECT list and a `GROUP BY {entity}`: without it all {entity}s make one alert")
        } else {
            let named: Vec<&str> = names.into_iter().filter(|name| is_word(name)).collect();
            match nearest(entity, named.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add `{entity}` to the SELECT list and to GROUP BY; the labels now are: {}", named.join(", ")),
            }
        };
        let message = format!("the rule names the {key} `{entity}`, which is no label of its result");
        report.add(&self.file.path, Diagnostic::new(self.front.place(key), message, hint));
        false
    }
}

fn report_names_taken(drafts: &[Draft], report: &mut Report) {
    let mut first: BTreeMap<&str, &Path> = BTreeMap::new();
    for draft in drafts {
        if let Some(other) = first.get(draft.front.rule.as_str()) {
            let message = format!("the rule name `{}` is taken by {}", draft.front.rule, other.display());
            let hint = "a rule's name is part of its alerts' identity: give each rule its own";
            report.add(&draft.file.path, Diagnostic::new(draft.front.place("rule"), message, hint));
        } else {
            first.insert(&draft.front.rule, &draft.file.path);
        }
    }
}
