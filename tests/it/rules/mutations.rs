//! Slips of the fingers in good rules: whatever is wrong, no error speaks the planner's language, each has a place within the rule, and where
//! one word is wrong, the place is at that word.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use squelch::rule::check::from_texts;
use squelch::rule::sql::planner_words::INTERNALS;

use crate::support::root;

fn rule_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rule_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            into.push(path);
        }
    }
}

/// The good rules: those that are shipped, and idioms of other engines.
fn good() -> Vec<String> {
    let mut files = Vec::new();
    rule_files(&root().join("rules"), &mut files);
    files.sort();
    let shipped = files.iter().map(|path| std::fs::read_to_string(path).unwrap());
    let idioms = [
        "SELECT service, max_by(value, ts) AS value FROM metrics WHERE name = 'cpu' GROUP BY service ORDER BY sum(value) DESC LIMIT 3",
        "SELECT env, a.n / b.n AS value FROM (SELECT env, count(*) * 1.0 AS n FROM logs GROUP BY env) a JOIN (SELECT env, count(*) AS n FROM spans GROUP BY env) b USING (env) JOIN (VALUES ('prod', 3)) AS t (env, most) USING (env) WHERE a.n > t.most",
        "SELECT service, count_if(body->>'level' = 'error') AS value FROM logs WHERE extract(hour FROM ts AT TIME ZONE 'Europe/Berlin') BETWEEN 9 AND 16 GROUP BY service",
        "SELECT DISTINCT ON (env) env, service, n AS value FROM (SELECT env, service, count(*) AS n FROM logs GROUP BY env, service) t ORDER BY env, n DESC",
        "SELECT service, avg(CAST((regexp_match(body, 'took ([0-9]+)'))[1] AS DOUBLE)) AS value FROM logs WHERE body SIMILAR TO '%(slow|late)%' GROUP BY service",
        "SELECT service, stddev(value) OVER (PARTITION BY service ORDER BY ts ROWS BETWEEN 5 PRECEDING AND CURRENT ROW) AS value FROM metrics",
    ];
    let with_front = |sql: &str| format!("/*---\nrule: idiom\nseverity: info\nwindow: 1m\n---*/\n{sql}\n");
    shipped.chain(idioms.map(with_front)).collect()
}

/// Words and signs of the SQL, as ranges of the text.
fn words(text: &str) -> Vec<std::ops::Range<usize>> {
    let start = text.find("---*/").map_or(0, |at| at + 5);
    let mut words: Vec<std::ops::Range<usize>> = Vec::new();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut previous = ' ';
    for (at, c) in text[start..].char_indices().map(|(at, c)| (start + at, c)) {
        match words.last_mut() {
            Some(last) if is_word(c) && is_word(previous) => last.end = at + c.len_utf8(),
            _ if c.is_whitespace() => {}
            _ => words.push(at..at + c.len_utf8()),
        }
        previous = c;
    }
    words
}

/// What takes a word's place.
const OTHERS: [&str; 40] = [
    "value",
    "service",
    "'text'",
    "3",
    "2.5",
    "NULL",
    "true",
    "count(*)",
    "sum(value)",
    "max(host)",
    "ts",
    "(",
    ")",
    ",",
    "",
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "HAVING",
    "JOIN",
    "AND",
    "NOT",
    "-",
    "/",
    "INTERVAL '1 minute'",
    "labels['x']",
    "CAST(value AS TEXT)",
    "unknown_name",
    "no_function(value)",
    "rank() OVER (ORDER BY value)",
    "*",
    "(SELECT 1)",
    "ARRAY[1]",
    "'2026-13-01'",
    "9999999999999999999",
    "{",
    "AS",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_error_speaks_the_planners_language(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(OTHERS.to_vec()), 0..3_u8), 1..4),
    ) {
        let good = good();
        let mut text = which.get(&good).clone();
        for (at, other, how) in &changes {
            let words = words(&text);
            if words.is_empty() {
                break;
            }
            let word = at.get(&words).clone();
            match how {
                0 => text.replace_range(word, other),
                1 => text.insert_str(word.end, &format!(" {other} ")),
                _ => text.replace_range(word, ""),
            }
        }
        let Err(report) = from_texts(vec![(PathBuf::from("mutated.sql"), Arc::from(text.as_str()))]) else { return Ok(()) };
        let found: Vec<_> = report.diagnostics().map(|(_, it)| it).collect();
        prop_assert!(!found.is_empty(), "{text}");
        for it in found {
            let said = format!("{}\n{}", it.message, it.hint.as_deref().unwrap_or_default());
            // What the author wrote may be quoted.
            let internal = INTERNALS.iter().find(|word| said.contains(*word) && !text.contains(word.trim()));
            prop_assert!(internal.is_none(), "{internal:?} in {said}\n{text}");
            prop_assert!(it.span.end <= text.len() && text.is_char_boundary(it.span.start) && text.is_char_boundary(it.span.end), "{:?}: {said}\n{text}", it.span);
            prop_assert!(!it.message.is_empty() && it.message.len() < 400, "{said}\n{text}");
        }
    }

    #[test]
    fn a_wrong_name_is_pointed_at(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let good = good();
        let mut text = which.get(&good).clone();
        let columns: Vec<_> = words(&text).into_iter().filter(|word| ["service", "value", "host", "body"].contains(&&text[word.clone()])).collect();
        prop_assume!(!columns.is_empty());
        let word = at.get(&columns).clone();
        text.replace_range(word.clone(), "zzzwrong");
        let Err(report) = from_texts(vec![(PathBuf::from("mutated.sql"), Arc::from(text.as_str()))]) else { return Ok(()) };
        let all: Vec<_> = report.diagnostics().map(|(_, it)| it).collect();
        let named = all.iter().filter(|it| it.message.contains("zzzwrong") && it.message.starts_with("unknown"));
        for it in named {
            let place = &text[it.span.clone()];
            prop_assert!(place.contains("zzzwrong"), "{place:?}: {}\n{text}", it.message);
        }
    }
}
