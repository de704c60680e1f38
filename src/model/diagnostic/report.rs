//! Everything that is wrong with some files, and the one way in which it is printed: message, `file:line:column`, the line with its
//! carets, the hint. Rules, settings and topologies all come out of here; the form is the Rust compiler's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::model::diagnostic::{Diagnostic, line_and_column};
use crate::model::limits::ERRORS_PER_FILE_MAX;

/// A longer line is no help to a reader, and a topology in JSON may be one line.
const SHOWN_BYTES_MAX: usize = 4_000;

/// The errors of some files, with the texts to point into. A file without errors may be among them.
#[derive(Clone, Debug, Default)]
pub struct Report {
    files: BTreeMap<PathBuf, FileReport>,
}

#[derive(Clone, Debug, Default)]
struct FileReport {
    /// `None` where it could not be read.
    text: Option<Arc<str>>,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// The errors of one file.
    pub fn of_file(file: impl Into<PathBuf>, text: impl Into<Arc<str>>, diagnostics: Vec<Diagnostic>) -> Self {
        let report = FileReport { text: Some(text.into()), diagnostics };
        let mut all = Self { files: BTreeMap::from([(file.into(), report)]) };
        all.sort();
        all
    }

    /// Adds the text of a file, which its errors point into.
    pub fn add_text(&mut self, file: &Path, text: Arc<str>) {
        self.files.entry(file.to_path_buf()).or_default().text = Some(text);
    }

    /// Adds an error.
    pub fn add(&mut self, file: &Path, diagnostic: Diagnostic) {
        self.files.entry(file.to_path_buf()).or_default().diagnostics.push(diagnostic);
    }

    /// Adds errors.
    pub fn extend(&mut self, file: &Path, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.files.entry(file.to_path_buf()).or_default().diagnostics.extend(diagnostics);
    }

    /// Brings the errors of each file into the order of the text, and keeps of each file only the first ones and how many more there are.
    pub fn sort(&mut self) {
        for report in self.files.values_mut() {
            report.diagnostics.sort_by(|a, b| (a.span.start, &a.message).cmp(&(b.span.start, &b.message)));
            let more = report.diagnostics.len().saturating_sub(ERRORS_PER_FILE_MAX);
            if more > 0 {
                report.diagnostics.truncate(ERRORS_PER_FILE_MAX);
                let end = report.text.as_ref().map_or(0, |text| text.trim_end().len());
                report.diagnostics.push(Diagnostic::new(end..end, format!("{more} more errors"), "correct those above first"));
            }
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.errors() == 0
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.files.values().map(|report| report.diagnostics.len()).sum()
    }

    /// The files that have errors.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(|(_, report)| !report.diagnostics.is_empty()).map(|(file, _)| file.as_path())
    }

    /// All errors, each with its file.
    pub fn diagnostics(&self) -> impl Iterator<Item = (&Path, &Diagnostic)> {
        self.files.iter().flat_map(|(file, report)| report.diagnostics.iter().map(|diagnostic| (file.as_path(), diagnostic)))
    }

    /// For people: each error in a paragraph of its own.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
        let of_file = |(file, report): (&PathBuf, &FileReport)| -> String {
            let text = report.text.as_deref().unwrap_or_default();
            report.diagnostics.iter().map(|diagnostic| render_one(file, text, diagnostic, &renderer) + "\n\n").collect()
        };
        self.files.iter().map(of_file).collect()
    }
}

fn render_one(file: &Path, text: &str, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let path = file.display().to_string();
    let title = Level::ERROR.primary_title(diagnostic.message.as_str());
    if text.is_empty() {
        // An empty file has no line to show, and a file that could not be read no place.
        let hint = diagnostic.hint.as_ref().map_or(String::new(), |hint| format!("\n  = help: {hint}"));
        return format!("error: {}\n --> {path}{hint}", diagnostic.message);
    }
    let start = diagnostic.span.start.min(text.len());
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let (line, column) = line_and_column(text, start);
    let group: Group<'_> = if line_end - line_start > SHOWN_BYTES_MAX {
        title.element(Origin::path(path.as_str()).line(line).char_column(column))
    } else {
        // The whole front matter as a place means "somewhere in here": its first line is enough.
        let end = diagnostic.span.end.min(line_end).max(start);
        let annotation = AnnotationKind::Primary.span(start - line_start..end - line_start);
        let shown = &text[line_start..line_end];
        title.element(Snippet::source(shown).line_start(line).path(path.as_str()).annotation(annotation))
    };
    let group = match &diagnostic.hint {
        Some(hint) => group.element(Level::HELP.message(hint.as_str())),
        None => group,
    };
    renderer.render(&[group])
}

/// Without colours, as it stands in logs.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Report {}
