//! What docs/rules.md shows is so: every rule in it is checked, every output in it is what the program says, every kind is there.
//! What docs/guarantees.md promises names tests that exist. Every link between the documents leads somewhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{binary, folders, root};

/// The blocks of docs/rules.md: what stands behind the three backticks, and the text.
fn blocks() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("docs/rules.md")).unwrap();
    let parts: Vec<&str> = text.split("```").collect();
    assert!(parts.len() % 2 == 1, "every block is closed");
    let inside = parts.iter().skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    inside.map(|(info, text)| (info.trim().to_string(), text.to_string())).collect()
}

fn name_of(rule: &str) -> Option<&str> {
    rule.lines().find_map(|line| line.strip_prefix("rule: "))
}

/// Every rule of the docs in a folder `rules`; a query without a head gets the smallest.
fn write_rules(dir: &Path) -> usize {
    let rules = dir.join("rules");
    std::fs::create_dir(&rules).unwrap();
    std::fs::create_dir_all(dir.join("lookups")).unwrap();
    let lookup = blocks().into_iter().find(|(info, _)| info == "csv").unwrap().1;
    std::fs::write(dir.join("lookups/limits.csv"), lookup).unwrap();
    let queries: Vec<String> = blocks().into_iter().filter(|(info, _)| info == "sql").map(|(_, text)| text).collect();
    for (i, query) in queries.iter().enumerate() {
        let bare = format!("query_{i}");
        let headless = format!("/*---\nrule: {bare}\nseverity: info\nwindow: 5m\n---*/\n{query}");
        let text = if query.starts_with("/*---") { query } else { &headless };
        std::fs::write(rules.join(format!("{}.sql", name_of(text).unwrap())), text).unwrap();
    }
    queries.len()
}

fn squelch(dir: &Path, arguments: &str) -> String {
    let done = Command::new(binary()).current_dir(dir).args(arguments.split(' ')).output().unwrap();
    String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap()
}

/// Whether the lines are the same, where a line of `…` stands for any number of them, and `…` at the end of a line for its rest.
pub fn shown_is_said(shown: &[&str], said: &[&str]) -> bool {
    match (shown.split_first(), said.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first.trim() == "…" => (0..=said.len()).any(|skip| shown_is_said(rest, &said[skip..])),
        (Some((a, shown)), Some((b, said))) => {
            let same = a.strip_suffix('…').map_or(a.trim_end() == b.trim_end(), |start| b.starts_with(start));
            same && shown_is_said(shown, said)
        }
        _ => false,
    }
}

#[test]
fn every_rule_is_good() {
    let dir = tempfile::tempdir().unwrap();
    let rules = write_rules(dir.path());
    assert!(rules >= 10, "{rules} rules are shown");
    assert_eq!(squelch(dir.path(), "check rules").trim(), format!("{rules} rules: good"));
}

#[test]
fn what_check_and_explain_say_is_what_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    write_rules(dir.path());
    let mut shown = 0;
    for (_, block) in blocks() {
        let Some((command, output)) = block.strip_prefix("$ squelch ").and_then(|block| block.split_once('\n')) else { continue };
        if command == "check rules" {
            break_rules(dir.path());
        }
        let said = squelch(dir.path(), command);
        let (want, got): (Vec<&str>, Vec<&str>) = (output.trim_end().lines().collect(), said.trim_end().lines().collect());
        assert!(shown_is_said(&want, &got), "`squelch {command}` says:\n{said}");
        shown += 1;
        if command == "check rules" {
            std::fs::remove_dir_all(dir.path().join("rules")).unwrap();
            write_rules(dir.path());
        }
    }
    assert!(shown >= 3, "{shown} outputs are shown");
}

/// Leaves two rules, with the mistakes that the docs show.
fn break_rules(dir: &Path) {
    let rules = dir.join("rules");
    let good = std::fs::read_to_string(rules.join("checkout_error_rate.sql")).unwrap();
    std::fs::remove_dir_all(&rules).unwrap();
    std::fs::create_dir(&rules).unwrap();
    let mut bad =
        good.replace("critical\n", "critcal\n").replace("every: 30s", "every: 45s").replace("FROM metrics", "FROM metric");
    assert_ne!(bad, good);
    std::fs::write(rules.join("checkout_error_rate.sql"), &bad).unwrap();
    bad = "/*---\nrule: slow\nseverity: info\nwindow: 5m\n---*/\nSELECT env, service, median(value) AS value\nFROM metrics\nGROUP BY env, service\n".into();
    std::fs::write(rules.join("slow.sql"), bad).unwrap();
}

#[test]
fn every_kind_is_in_the_table() {
    let text = std::fs::read_to_string(root().join("docs/rules.md")).unwrap();
    for kind in folders("fixtures/kinds") {
        let name = kind.file_name().unwrap().to_string_lossy().into_owned();
        assert!(text.contains(&format!("(../fixtures/kinds/{name})")), "docs/rules.md names {name}");
    }
    for named in text.split("(../fixtures/kinds/").skip(1) {
        let name = named.split(')').next().unwrap();
        assert!(root().join("fixtures/kinds").join(name).is_dir(), "docs/rules.md names {name}, which is not there");
    }
}

/// The tests that a text names: `module::test` in backticks.
fn named_tests(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    quoted.filter(|quoted| quoted.contains("::") && quoted.split("::").all(word)).collect()
}

/// Whether there is such a test, in this folder or in a file of the source.
fn is_test(path: &str) -> bool {
    let (module, name) = path.rsplit_once("::").unwrap();
    let module = module.replace("::", "/");
    let files = ["tests/it", "src"].map(|root| [format!("{root}/{module}.rs"), format!("{root}/{module}/mod.rs")]).concat();
    let mut texts = files.iter().filter_map(|file| std::fs::read_to_string(root().join(file)).ok());
    // Between the mark of a test and its name there may be another attribute, and no other function.
    let declares = |text: String| {
        text.split("#[test]").skip(1).any(|after| {
            after.split_once("fn ").is_some_and(|(_, rest)| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')))
        })
    };
    texts.any(declares)
}

#[test]
fn every_system_names_a_test_that_exists() {
    let text = std::fs::read_to_string(root().join("docs/collectors.md")).unwrap();
    let table = text.split("## Which systems").nth(1).unwrap().split("\n## ").next().unwrap();
    assert!(table.lines().filter(|line| line.starts_with("| [")).count() >= 15, "{table}");
    let named = named_tests(table);
    let missing: Vec<&&str> = named.iter().filter(|path| !is_test(path)).collect();
    assert!(named.len() >= 12 && missing.is_empty(), "docs/collectors.md names tests that do not exist: {missing:?}");
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let text = std::fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let named = named_tests(&text);
    assert!(named.len() >= 30, "{} tests are named", named.len());
    let missing: Vec<&&str> = named.iter().filter(|path| !is_test(path)).collect();
    assert!(missing.is_empty(), "docs/guarantees.md names tests that do not exist: {missing:?}");
    assert!(!is_test("docs::blocks") && !is_test("docs::no_such_test"));
    // What can go wrong and the table of contents promise nothing.
    let (mut promises, mut bare) = (0, Vec::new());
    for section in text.split("\n## ").skip(1) {
        let promised = section.split("What can still go wrong:").next().unwrap();
        for promise in promised.split("\n- ").skip(1) {
            let promise = promise.split("\n\n").next().unwrap();
            promises += 1;
            if named_tests(promise).is_empty() {
                bare.push(promise);
            }
        }
    }
    assert!(promises >= 20, "{promises} promises");
    assert!(bare.is_empty(), "these promises name no test: {bare:#?}");
}

/// README, the documents and those beside the fixtures.
fn documents() -> Vec<PathBuf> {
    let mut folders = vec![root().join("docs"), root().join("fixtures"), root().join("packs")];
    let mut documents: Vec<PathBuf> =
        ["README.md", "README.ko.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "md") {
                documents.push(entry);
            }
        }
    }
    documents
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let letters = heading.trim().to_lowercase();
    letters.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn has_anchor(document: &Path, wanted: &str) -> bool {
    let text = std::fs::read_to_string(document).unwrap();
    let headings = text.split("```").step_by(2).flat_map(str::lines).filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).any(|anchor| anchor == wanted)
}

#[test]
fn every_link_leads_somewhere() {
    let (mut links, mut broken) = (0, Vec::new());
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let outside_blocks: String = text.split("```").step_by(2).collect();
        for link in outside_blocks.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            links += 1;
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            if !target.exists() || heading.is_some_and(|heading| !has_anchor(&target, heading)) {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(links >= 100, "{links} links");
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The keys in the first column of a document's tables of settings, without those that end in `*`.
fn settings(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("docs").join(document)).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Settings\n")).unwrap().to_string();
    let columns = section.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    columns.flat_map(|column| column.split('`').skip(1).step_by(2)).filter(|key| !key.ends_with('*')).map(String::from).collect()
}

/// The keys of the example, those that are commented out too, as `part.key`.
fn example_settings() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("squelch.example.yaml")).unwrap();
    let mut parents: Vec<(usize, String)> = Vec::new();
    let mut keys = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let indent = line.len() - line.trim_start().len();
        let Some((key, _)) = line.trim_start().trim_start_matches("# ").split_once(':') else { continue };
        parents.retain(|(deep, _)| *deep < indent);
        parents.push((indent, key.to_string()));
        keys.push(parents.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join("."));
    }
    keys
}

#[test]
fn every_setting_is_in_the_example() {
    let example = example_settings();
    let documented = ["configuration.md", "incidents.md", "topology.md", "scaling.md", "commands.md"].map(settings).concat();
    assert!(documented.len() >= 50, "{} settings", documented.len());
    let missing: Vec<&String> = documented.iter().filter(|key| !example.contains(key)).collect();
    assert!(missing.is_empty(), "squelch.example.yaml lacks {missing:?}");
    let undocumented: Vec<&String> = example.iter().filter(|key| key.contains('.') && !documented.contains(key)).collect();
    assert!(
        undocumented.iter().all(|key| ["nats.tls", "intake.tls"].contains(&key.as_str())),
        "no document has {undocumented:?}"
    );
}

/// What two languages of one document share: its blocks, and of all else the headings' depths, the links, and how many cells a row has.
fn structure(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let of_line = |line: &str| {
        let depth = line.chars().take_while(|c| *c == '#').count();
        let cells = if line.starts_with('|') { line.matches('|').count() } else { 0 };
        (depth + cells > 0).then(|| format!("heading {depth}, {cells} cells"))
    };
    let links = |prose: &str| -> Vec<String> {
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let mut targets: Vec<String> = targets.filter(|target| !target.starts_with("README")).map(String::from).collect();
        targets.sort_unstable();
        targets
    };
    let parts = text.split("```").enumerate();
    parts
        .flat_map(|(i, part)| match i % 2 {
            0 => part.lines().filter_map(of_line).chain(links(part)).collect(),
            _ => vec![part.to_string()],
        })
        .collect()
}

#[test]
fn the_korean_readme_has_the_structure_of_the_english_one() {
    let (english, korean) = (structure("README.md"), structure("README.ko.md"));
    assert!(english.len() >= 50, "{} parts", english.len());
    let differs = english.iter().zip(&korean).find(|(english, korean)| english != korean);
    assert_eq!(differs, None);
    assert_eq!(english.len(), korean.len());
}

/// The rules whose alerts docs/incidents.md shows, and what is in the events about the two services that it shows.
const EXAMPLE_RULES: [&str; 4] =
    ["app/api_latency_high", "app/http_server_error_rate", "business/checkout_conversion_low", "logs/log_error_rate"];
const EXAMPLE_SERVICES: &str = "\"payment";

#[test]
fn the_incident_shown_is_the_one_that_comes_out() {
    let text = std::fs::read_to_string(root().join("docs/incidents.md")).unwrap();
    let block = |start: &str| text.split(start).nth(1).and_then(|rest| rest.split("```").next()).unwrap().to_string();
    let (message, commands) = (block("```json\n"), block("```text\n$ "));
    let (replay, rest) = commands.split_once("\n$ ").unwrap();
    let (explain, shown) = rest.split_once('\n').unwrap();

    let dir = tempfile::tempdir().unwrap();
    let (events, topology) = crate::support::demo::demo_files();
    let events = String::from_utf8(events).unwrap();
    let lines: Vec<&str> = events.lines().collect();
    let about_both = lines.iter().filter(|line| line.contains(EXAMPLE_SERVICES)).chain(lines.last());
    std::fs::write(dir.path().join("night.jsonl"), about_both.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    std::fs::write(dir.path().join("topology.yaml"), topology).unwrap();
    std::fs::create_dir(dir.path().join("rules")).unwrap();
    for rule in EXAMPLE_RULES {
        let name = rule.split('/').next_back().unwrap();
        std::fs::copy(root().join(format!("rules/{rule}.sql")), dir.path().join(format!("rules/{name}.sql"))).unwrap();
    }

    squelch(dir.path(), replay.strip_prefix("squelch ").unwrap());
    let explained = squelch(dir.path(), explain.strip_prefix("squelch ").unwrap());
    let (want, got): (Vec<&str>, Vec<&str>) = (shown.trim_end().lines().collect(), explained.trim_end().lines().collect());
    assert!(shown_is_said(&want, &got), "`{explain}` prints:\n{explained}");

    let revisions = std::fs::read_to_string(dir.path().join("out.jsonl")).unwrap();
    let second = revisions.lines().nth(1).unwrap();
    let texts = message.split('"').skip(1).step_by(2).map(|text| text.trim_end_matches('…'));
    let missing: Vec<&str> = texts.filter(|text| !second.contains(text)).collect();
    assert!(missing.is_empty(), "docs/incidents.md shows {missing:?}, the message is:\n{second}");
}
