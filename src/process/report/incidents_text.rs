//! Incidents as a person reads them in a terminal: the notification, the cause, and the graph of what broke.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::revision::Revision;
use crate::model::time::format_clock;
use crate::topology::Topology;

/// How far up the graph a dependent is drawn under its dependency.
const TREE_HOPS: usize = 4;
/// Runbooks and links that are printed. The message has all of them.
const LINES_MAX: usize = 4;

/// Plain or coloured text.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// ANSI colours.
    pub color: bool,
}

impl Style {
    fn paint(self, text: &str, code: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }

    /// Stands out.
    pub fn bold(self, text: &str) -> String {
        self.paint(text, "1")
    }

    fn dim(self, text: &str) -> String {
        self.paint(text, "2")
    }

    fn loud(self, text: &str, severity: crate::model::severity::Severity) -> String {
        use crate::model::severity::Severity;
        self.paint(
            text,
            match severity {
                Severity::Critical => "1;31",
                Severity::Warning => "33",
                Severity::Info => "36",
            },
        )
    }
}

/// One revision: in full where a person is notified, else in one line.
pub fn revision(revision: &Revision, style: Style) -> String {
    let at = format_clock(revision.updated_at);
    let head = format!("{at}  {:<8}  {:<11}  {}", revision.severity, revision.env, revision.title);
    if !revision.decision.is_sent() {
        return style.dim(&format!("{at}  silent    {}  r{}: {}", revision.id, revision.revision, revision.decision));
    }
    let mut text = style.loud(&head, revision.severity) + "\n";
    let mut line = |name: &str, value: &str| writeln!(text, "          {:<9} {value}", name).is_ok();
    line("why now", &revision.decision.to_string());
    line("summary", &revision.summary);
    if let Some(cause) = revision.root_cause() {
        line("cause", &style.bold(&cause.entity));
        cause.reasons.iter().for_each(|reason| {
            line("", &format!("- {reason}"));
        });
    }
    let failing = revision.entity_names();
    if failing.len() > 1 {
        line("failing", &failing.join(", "));
    }
    let mut runbooks: Vec<&str> = revision
        .alerts
        .iter()
        .filter(|alert| revision.root_cause().is_some_and(|cause| alert.entity.as_ref() == Some(&cause.entity)))
        .filter_map(|alert| alert.texts.runbook.as_deref())
        .collect();
    runbooks.sort_unstable();
    runbooks.dedup();
    runbooks.into_iter().take(LINES_MAX).for_each(|runbook| {
        line("runbook", runbook);
    });
    line("incident", &format!("{} revision {}, {}", revision.id, revision.revision, revision.status.as_str()));
    text
}

/// What broke: the cause at the root, and under each failing entity those that depend on it.
pub fn tree(revision: &Revision, topology: &Topology, style: Style) -> String {
    let mut entities: BTreeMap<Arc<str>, Vec<&Alert>> = BTreeMap::new();
    for alert in &revision.alerts {
        entities.entry(alert.subject().into()).or_default().push(alert);
    }
    let cause = revision.root_cause().map(|cause| Arc::clone(&cause.entity));
    let mut placed: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut text = String::new();
    let mut roots: Vec<Arc<str>> = cause.clone().into_iter().collect();
    roots.extend(entities.keys().filter(|entity| Some(*entity) != cause.as_ref()).cloned());
    let drawing = Drawing { entities: &entities, topology, env: &revision.env, style };
    for root in roots {
        if placed.insert(Arc::clone(&root)) {
            drawing.line(&mut text, &root, "", cause.as_ref() == Some(&root));
            drawing.below(&mut text, &root, "", &mut placed);
        }
    }
    text
}

struct Drawing<'a> {
    entities: &'a BTreeMap<Arc<str>, Vec<&'a Alert>>,
    topology: &'a Topology,
    env: &'a str,
    style: Style,
}

impl Drawing<'_> {
    fn below(&self, text: &mut String, entity: &Arc<str>, indent: &str, placed: &mut BTreeSet<Arc<str>>) {
        let dependents = self.topology.dependents(entity, self.env, TREE_HOPS);
        // An entity hangs under the nearest failing one that it depends on.
        let hangs_here = |other: &Arc<str>, hops: usize, placed: &BTreeSet<Arc<str>>| {
            let nearer = self.topology.dependencies(other, self.env, hops.saturating_sub(1));
            !nearer.keys().any(|between| self.entities.contains_key(between) && !placed.contains(between))
        };
        let mut children: Vec<(usize, Arc<str>)> = dependents
            .iter()
            .filter(|(other, _)| self.entities.contains_key(*other) && !placed.contains(*other))
            .map(|(other, hops)| (*hops, Arc::clone(other)))
            .collect();
        children.sort();
        let children: Vec<Arc<str>> =
            children.into_iter().filter(|(hops, other)| hangs_here(other, *hops, placed)).map(|(_, other)| other).collect();
        children.iter().for_each(|child| {
            placed.insert(Arc::clone(child));
        });
        for (i, child) in children.iter().enumerate() {
            let last = i + 1 == children.len();
            self.line(text, child, &format!("{indent}{}", if last { "└─ " } else { "├─ " }), false);
            self.below(text, child, &format!("{indent}{}", if last { "   " } else { "│  " }), placed);
        }
    }

    fn line(&self, text: &mut String, entity: &Arc<str>, branch: &str, is_cause: bool) {
        let name = format!("{branch}{entity}");
        let padded = format!("{name}{}", " ".repeat(26_usize.saturating_sub(name.chars().count())));
        let state = match self.entities.get(entity) {
            Some(alerts) => {
                let worst = alerts.iter().min_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.started_at));
                let first = alerts.iter().map(|alert| alert.started_at).min().unwrap_or_default();
                let summary =
                    worst.map_or(String::new(), |alert| alert.texts.summary.clone().unwrap_or_else(|| alert.rule.to_string()));
                format!("since {}  {summary}", format_clock(first))
            }
            None => "suspected: no alert is about it".into(),
        };
        let mark = if is_cause { self.style.bold("  <- cause") } else { String::new() };
        text.push_str(&format!("  {padded} {state}{mark}\n"));
    }
}

/// Why the alerts of an incident belong together, strongest link first.
pub fn links(revision: &Revision) -> String {
    revision
        .links
        .iter()
        .filter(|link| link.from != link.to)
        .take(LINES_MAX)
        .map(|link| format!("  {:.2}  {}\n", link.score, link.reason))
        .collect()
}
