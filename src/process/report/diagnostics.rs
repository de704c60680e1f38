//! Diagnostics as a person reads them: file:line:column, the line, a caret, a hint.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::model::diagnostic::{Diagnostic, line_and_column};
use crate::rule::check::Complaints;

/// All complaints, one after the other.
pub fn render(complaints: &Complaints, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    complaints.diagnostics.iter().map(|diagnostic| one(diagnostic, &complaints.texts, &renderer) + "\n\n").collect()
}

fn one(diagnostic: &Diagnostic, texts: &BTreeMap<PathBuf, Arc<str>>, renderer: &Renderer) -> String {
    let path = diagnostic.file.display().to_string();
    let Some(text) = texts.get(&diagnostic.file).filter(|text| !text.is_empty()) else {
        let hint = diagnostic.hint.as_ref().map_or(String::new(), |hint| format!("\n  = help: {hint}"));
        return format!("error: {}\n --> {path}{hint}", diagnostic.message);
    };
    // The whole front matter as a place means "somewhere in here": its first line is enough.
    let first_line_end = text[diagnostic.span.start..].find('\n').map_or(text.len(), |at| diagnostic.span.start + at);
    let end = diagnostic.span.end.min(first_line_end).max(diagnostic.span.start);
    let annotation = AnnotationKind::Primary.span(diagnostic.span.start..end);
    let snippet = Snippet::source(text.as_ref()).path(path.as_str()).annotation(annotation);
    let mut group = Level::ERROR.primary_title(diagnostic.message.as_str()).element(snippet);
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    renderer.render(&[group])
}

/// One line a complaint, for logs: `file:line:column: message (hint)`.
pub fn lines(complaints: &Complaints) -> Vec<String> {
    let line = |diagnostic: &Diagnostic| {
        let place = complaints.texts.get(&diagnostic.file).map_or(String::new(), |text| {
            let (line, column) = line_and_column(text, diagnostic.span.start);
            format!(":{line}:{column}")
        });
        let hint = diagnostic.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        format!("{}{place}: {}{hint}", diagnostic.file.display(), diagnostic.message)
    };
    complaints.diagnostics.iter().map(line).collect()
}
