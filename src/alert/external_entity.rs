//! Which topology node another system's alert is about: the labels that an operator names, in order, by source where sources differ.
//!
//! Alerts that Prometheus makes of an exporter's metrics carry labels of the scrape. `service="node-exporter"` on them names who
//! measured, not what fails: taken as the entity, it would make one incident of the disks and backups of all hosts. So a name of an
//! exporter is no entity, unless an operator says so.

use std::sync::Arc;

use crate::model::labels::Labels;
use crate::model::star_pattern::StarPattern;

/// Labels of a scrape, which may name an exporter.
const SCRAPE_LABELS: [&str; 2] = ["service", "job"];

/// A Prometheus target, `host:port`. Its port says nothing about what fails.
const INSTANCE: &str = "instance";

/// Exporters that speak for others and whose own address is in `instance`.
const INSTANCE_IS_EXPORTER: [&str; 2] = ["*kube-state-metrics", "*pushgateway"];

/// A text in which `*` stands for any characters. Case, and whether `-` or `_` is written, make no difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(StarPattern);

/// How the entity of other systems' alerts is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityLabels {
    /// Of certain sources. The first that matches decides alone.
    pub of_sources: Vec<SourceEntityLabels>,
    /// Of all other sources: the first label that is there and names no exporter.
    pub labels: Vec<String>,
    /// Values of `service` and `job` that name an exporter.
    pub exporters: Vec<NamePattern>,
}

/// How the entity of one source's alerts is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEntityLabels {
    /// Labels by which the source is known: all of them must match.
    pub when: Vec<(String, NamePattern)>,
    /// The first of these that is there names the entity, whatever its value.
    pub labels: Vec<String>,
}

impl Default for EntityLabels {
    fn default() -> Self {
        let exporters = ["*exporter", "*kube-state-metrics", "*pushgateway", "blackbox", "cadvisor", "kubelet", "snmp"];
        Self {
            of_sources: Vec::new(),
            labels: ["service", "host", INSTANCE].map(String::from).into(),
            exporters: exporters.map(NamePattern::new).into(),
        }
    }
}

impl EntityLabels {
    /// The entity that the labels of an alert name.
    pub fn entity_of(&self, labels: &Labels) -> Option<Arc<str>> {
        let matches = |(label, pattern): &(String, NamePattern)| labels.get(label).is_some_and(|value| pattern.matches(value));
        if let Some(source) = self.of_sources.iter().find(|source| source.when.iter().all(matches)) {
            return source.labels.iter().find_map(|label| labels.get(label)).map(Arc::from);
        }
        self.labels.iter().find_map(|label| self.named_by(label, labels)).map(Arc::from)
    }

    fn named_by<'a>(&self, label: &str, labels: &'a Labels) -> Option<&'a str> {
        let value = labels.get(label)?;
        if label == INSTANCE {
            let speaks_for_others = || INSTANCE_IS_EXPORTER.iter().any(|name| is_scraped_from(labels, &NamePattern::new(name)));
            return (!speaks_for_others()).then(|| without_port(value));
        }
        let is_exporter = SCRAPE_LABELS.contains(&label) && self.exporters.iter().any(|exporter| exporter.matches(value));
        (!is_exporter).then_some(value)
    }
}

fn is_scraped_from(labels: &Labels, exporter: &NamePattern) -> bool {
    SCRAPE_LABELS.iter().any(|label| labels.get(label).is_some_and(|value| exporter.matches(value)))
}

/// `host-a` of `host-a:9100`, so that it is the same entity as that of an alert with `host="host-a"`.
fn without_port(instance: &str) -> &str {
    match instance.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => instance,
    }
}

impl NamePattern {
    /// A pattern as an operator writes it.
    pub fn new(text: &str) -> Self {
        Self(StarPattern::new(&normalized(text)))
    }

    /// Whether all of `value` matches.
    pub fn matches(&self, value: &str) -> bool {
        self.0.matches(&normalized(value))
    }
}

fn normalized(text: &str) -> String {
    text.to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::{EntityLabels, NamePattern, SourceEntityLabels};
    use crate::model::labels::Labels;

    fn entity(rules: &EntityLabels, labels: &[(&str, &str)]) -> Option<String> {
        let labels = Labels::new(labels.iter().map(|(key, value)| (key.to_string(), value.to_string())));
        rules.entity_of(&labels).map(|entity| entity.to_string())
    }

    #[test]
    fn an_exporter_is_no_entity() {
        let of = |labels: &[(&str, &str)]| entity(&EntityLabels::default(), labels);
        assert_eq!(of(&[("service", "shop"), ("host", "a")]).as_deref(), Some("shop"));
        for exporter in ["node-exporter", "node_exporter", "prometheus-node-exporter", "Blackbox", "kubelet"] {
            assert_eq!(of(&[("service", exporter), ("host", "a")]).as_deref(), Some("a"), "{exporter}");
            assert_eq!(of(&[("job", exporter), ("instance", "a:9100")]).as_deref(), Some("a"), "{exporter}");
        }
        assert_eq!(of(&[("service", "importer-exporter-shop")]).as_deref(), Some("importer-exporter-shop"));
        assert_eq!(of(&[("service", "node-exporter")]), None);
    }

    #[test]
    fn the_address_of_an_exporter_that_speaks_for_others_is_no_entity() {
        let of = |labels: &[(&str, &str)]| entity(&EntityLabels::default(), labels);
        assert_eq!(of(&[("job", "kube-state-metrics"), ("instance", "10.0.0.7:8080"), ("deployment", "web")]), None);
        assert_eq!(of(&[("instance", "[::1]:9100")]).as_deref(), Some("[::1]"));
        assert_eq!(of(&[("instance", "https://shop.example.com/")]).as_deref(), Some("https://shop.example.com/"));
    }

    #[test]
    fn a_source_may_name_its_own_labels() {
        let source = SourceEntityLabels {
            when: vec![("job".into(), NamePattern::new("*kube-state-metrics"))],
            labels: vec!["deployment".into(), "node".into()],
        };
        let rules = EntityLabels { of_sources: vec![source], labels: vec!["team".into()], ..EntityLabels::default() };
        let job = ("job", "monitoring-kube-state-metrics");
        assert_eq!(entity(&rules, &[job, ("deployment", "web"), ("team", "x")]).as_deref(), Some("web"));
        assert_eq!(entity(&rules, &[job, ("team", "x")]), None, "the first source that matches decides alone");
        assert_eq!(entity(&rules, &[("service", "shop"), ("team", "x")]).as_deref(), Some("x"));
    }

    #[test]
    fn patterns_match_the_whole_name() {
        for (pattern, value, matches) in [
            ("node", "node", true),
            ("node", "node-exporter", false),
            ("*exporter", "exporter", true),
            ("a*b*c", "a-x-b-y-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(NamePattern::new(pattern).matches(value), matches, "{pattern} {value}");
        }
    }
}
