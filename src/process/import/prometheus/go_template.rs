//! Texts of Prometheus, templates of Go, as templates of a rule: labels, the value, and the functions that write numbers.

use std::collections::BTreeSet;

/// Functions of Prometheus's templates, with the filter that does the same.
const FILTERS: [(&str, &str); 7] = [
    ("humanize", "humanize"),
    ("humanize1024", "humanize_1024"),
    ("humanizeDuration", "humanize_duration"),
    ("humanizePercentage", "humanize_percentage"),
    ("toUpper", "upper"),
    ("toLower", "lower"),
    ("title", "title"),
];

/// A part of a template.
enum Part<'t> {
    Text(&'t str),
    Action(&'t str),
}

fn parts(template: &str) -> Result<Vec<Part<'_>>, String> {
    let (mut rest, mut parts) = (template, Vec::new());
    while let Some(start) = rest.find("{{") {
        let end = rest[start..].find("}}").ok_or("`{{` is never closed")? + start;
        parts.push(Part::Text(&rest[..start]));
        parts.push(Part::Action(rest[start + 2..end].trim_matches('-').trim()));
        rest = &rest[end + 2..];
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// The labels that a template names.
pub(super) fn labels_of(template: &str) -> BTreeSet<String> {
    let actions = parts(template).unwrap_or_default().into_iter().filter_map(|part| match part {
        Part::Action(action) => Some(action),
        Part::Text(_) => None,
    });
    actions.flat_map(|action| action.split([' ', '|', '(', ')'])).filter_map(label).map(String::from).collect()
}

fn label(word: &str) -> Option<&str> {
    let name = word.strip_prefix("$labels.").or_else(|| word.strip_prefix(".Labels."))?;
    (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(name)
}

/// A template that says the same. `known` are the labels that there are; others are empty, as in Prometheus.
///
/// # Errors
///
/// Which part of it has no counterpart.
pub(super) fn translate(template: &str, known: &BTreeSet<String>) -> Result<String, String> {
    let mut text = String::new();
    for part in parts(template)? {
        match part {
            Part::Text(plain) if plain.contains("{%") || plain.contains("{#") => {
                return Err("`{%` and `{#` mean something else here".into());
            }
            Part::Text(plain) => text.push_str(plain),
            Part::Action(action) => text.push_str(&self::action(action, known)?),
        }
    }
    // Lines of a block that was folded.
    Ok(text.trim().to_string())
}

fn action(action: &str, known: &BTreeSet<String>) -> Result<String, String> {
    let no_counterpart = || format!("`{{{{ {action} }}}}` has no counterpart");
    let mut stages = action.split('|').map(str::trim);
    let first = stages.next().unwrap_or_default();
    let (mut subject, mut format) = match first.strip_prefix("printf ") {
        Some(call) => {
            let (format, rest) = quoted(call).ok_or_else(no_counterpart)?;
            (rest.trim().trim_matches(['(', ')']).to_string(), Some(format))
        }
        None => (first.to_string(), None),
    };
    let mut filters = Vec::new();
    // `humanize $value` is the same as `$value | humanize`.
    if let Some((function, argument)) = subject.clone().split_once(' ') {
        filters.push(filter(function).ok_or_else(no_counterpart)?);
        subject = argument.trim().to_string();
    }
    let subject = match subject.as_str() {
        "$value" | ".Value" => "value".to_string(),
        other => match label(other) {
            Some(name) if known.contains(name) => name.to_string(),
            Some(_) => return Ok(String::new()),
            None => return Err(no_counterpart()),
        },
    };
    for stage in stages {
        match stage.strip_prefix("printf ") {
            Some(call) => format = Some(quoted(call).ok_or_else(no_counterpart)?.0),
            None => filters.push(filter(stage).ok_or_else(no_counterpart)?),
        }
    }
    let filters: String = filters.into_iter().map(|filter| format!(" | {filter}")).collect();
    match format {
        None => Ok(format!("{{{{ {subject}{filters} }}}}")),
        Some(format) => formatted(&format, &format!("{subject}{filters}")).ok_or_else(no_counterpart),
    }
}

fn filter(name: &str) -> Option<&'static str> {
    FILTERS.iter().find(|(function, _)| *function == name).map(|(_, filter)| *filter)
}

/// A text in quotes at the start, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|quote| ['"', '`'].contains(quote))?;
    let end = text[1..].find(quote)? + 1;
    Some((text[1..end].to_string(), &text[end + 1..]))
}

/// A format with one verb.
fn formatted(format: &str, subject: &str) -> Option<String> {
    let marked = format.replace("%%", "\u{1}");
    let (before, rest) = marked.split_once('%')?;
    let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
    let (digits, after) = (&rest[..end], &rest[end + 1..]);
    let filter = match (&rest[end..=end], digits.strip_prefix('.')) {
        ("f", Some(digits)) => format!(" | round({})", digits.parse::<u8>().ok()?),
        ("f", None) if digits.is_empty() => " | round(6)".into(),
        ("d", _) => " | round".into(),
        ("s" | "v" | "g", None) if digits.is_empty() => String::new(),
        _ => return None,
    };
    if after.contains('%') {
        return None;
    }
    Some(format!("{before}{{{{ {subject}{filter} }}}}{after}").replace('\u{1}', "%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_counterparts() {
        let known = BTreeSet::from(["instance".to_string()]);
        for (go, here) in [
            ("{{ $labels.instance }} is down", "{{ instance }} is down"),
            ("{{$labels.instance}}: {{ .Labels.gone }}", "{{ instance }}:"),
            ("{{ $value | humanizePercentage }}", "{{ value | humanize_percentage }}"),
            ("{{ humanize $value }} B", "{{ value | humanize }} B"),
            ("{{ printf \"%.2f\" $value }}%", "{{ value | round(2) }}%"),
            ("{{ $value | printf \"%.0f%%\" }}", "{{ value | round(0) }}%"),
        ] {
            assert_eq!(translate(go, &known), Ok(here.into()), "{go}");
        }
        for go in ["{{ range query \"up\" }}", "{{ with $x }}", "{{ $value | humanizeTimestamp }}", "{{ $value", "{% x %}"] {
            assert!(translate(go, &known).is_err(), "{go}");
        }
        assert_eq!(
            labels_of("{{ $labels.a }} {{ if $labels.b }} {{ printf \"%s\" .Labels.c }}").into_iter().collect::<String>(),
            "abc"
        );
    }
}
