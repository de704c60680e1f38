//! Rules, settings and graphs that would read what they must not, never end, or take the process down: each is refused with its place
//! and a hint, by the command itself, in bounded time and without a crash.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::live::runtime_limits::{events, rule, run};
use crate::support::binary;
use crate::support::root;
use squelch::engine::EngineParams;

/// Longer than any of them may take where nothing is optimised and the machine is busy; who runs for ever is ended by it.
const HANG: Duration = Duration::from_secs(400);

fn squelch(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    let child = command.current_dir(dir).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap();
    let id = child.id();
    let (ended, watched) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if watched.recv_timeout(HANG) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            drop(Command::new("kill").args(["-9", &id.to_string()]).status());
        }
    });
    let done = child.wait_with_output().unwrap();
    drop(ended);
    watch.join().unwrap();
    done
}

fn check(name: &str, text: &str, wanted: &str) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hostile.sql"), text).unwrap();
    let began = Instant::now();
    let done = squelch(dir.path(), &["check", "hostile.sql"]);
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let shown: String = said.chars().take(2_000).collect();
    assert_eq!(done.status.code(), Some(1), "{name}, after {:?}: {}: {shown}", began.elapsed(), done.status);
    assert!(said.contains(wanted), "{name} is refused because {wanted}: {shown}");
    assert!(said.contains("--> hostile.sql"), "{name}: {shown}");
    assert!(said.len() < 2_000_000, "{name}: {} bytes are said", said.len());
}

fn head(more: &str) -> String {
    format!("/*---\nrule: hostile\nseverity: warning\nwindow: 1m\nsummary: \"x\"\n{more}---*/\n")
}

fn sql(sql: impl AsRef<str>) -> String {
    head("") + sql.as_ref()
}

fn condition(condition: impl AsRef<str>) -> String {
    sql(format!("SELECT service, count(*) AS value FROM metrics WHERE {} GROUP BY service", condition.as_ref()))
}

fn described(template: impl AsRef<str>) -> String {
    head(&format!("description: \"{}\"\n", template.as_ref())) + "SELECT service, count(*) AS value FROM metrics GROUP BY service"
}

fn fronted(more: &str) -> String {
    head(more) + "SELECT service, count(*) AS value FROM metrics GROUP BY service"
}

const COUNTED: &str = "SELECT service, count(*) AS value FROM metrics GROUP BY service";

fn chained(n: usize, what: &str, by: &str) -> String {
    vec![what; n].join(by)
}

#[test]
fn what_looks_outside_is_refused() {
    for (name, query, wanted) in [
        ("a file as a table", "SELECT count(*) AS value FROM '/etc/passwd'", "unknown table `/etc/passwd`"),
        ("a file as a name", "SELECT count(*) AS value FROM \"/etc/passwd\"", "unknown table `/etc/passwd`"),
        ("a function that reads files", "SELECT count(*) AS value FROM read_csv('/etc/passwd')", "read_csv() is not allowed"),
        ("an address", "SELECT count(*) AS value FROM 'http://169.254.169.254/latest'", "unknown table"),
        (
            "the environment",
            "SELECT service, count(*) AS value FROM metrics WHERE getenv('HOME') = '' GROUP BY service",
            "unknown function",
        ),
        (
            "waiting",
            "SELECT service, count(*) AS value FROM metrics WHERE pg_sleep(9) IS NULL GROUP BY service",
            "unknown function",
        ),
        ("the engine's own tables", "SELECT count(*) AS value FROM information_schema.tables", "unknown window"),
        (
            "the engine's version",
            "SELECT service, count(*) AS value FROM metrics WHERE version() = '' GROUP BY service",
            "not allowed",
        ),
        ("writing a file", "COPY (SELECT 1) TO '/tmp/squelch.csv'", "COPY is not allowed"),
        ("a setting", "SET datafusion.execution.batch_size = 1", "SET is not allowed"),
    ] {
        check(name, &sql(query), wanted);
    }
}

#[test]
fn what_never_ends_is_refused() {
    let all = [
        (
            "a recursion",
            sql("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) AS value FROM t"),
            "WITH RECURSIVE",
        ),
        (
            "a recursion within",
            sql(
                "SELECT count(*) AS value FROM (WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT * FROM t) x",
            ),
            "WITH RECURSIVE",
        ),
        ("a series", sql("SELECT count(*) AS value FROM generate_series(1, 1000000000000)"), "generate_series() is not allowed"),
        ("a series of another name", sql("SELECT count(*) AS value FROM range(1, 1000000000000)"), "range() is not allowed"),
        (
            "a series for each row",
            sql(
                "SELECT m.service, count(*) AS value FROM metrics m, LATERAL generate_series(1, 1000000000000) GROUP BY m.service",
            ),
            "not allowed",
        ),
        ("a text of 1 GB", condition("repeat('x', 1000000000) = 'y'"), "repeat() is not allowed"),
        ("a padded text", condition("lpad(service, 2000000000) = 'y'"), "lpad() is not allowed"),
        ("an expression of a million letters", condition("name ~ '(a{1,1000}){1,1000}b'"), "too large with its repetitions"),
        (
            "repetitions in each other",
            condition("regexp_like(name, '((a{0,100}){0,100}){0,100}')"),
            "too large with its repetitions",
        ),
        ("letters of every language", condition("name ~ '\\w{1000}\\w{1000}'"), "too large with its repetitions"),
        ("an expression that is none", condition("name ~ '(('"), "unclosed group"),
        ("400 groups in each other", condition(format!("name ~ '{}{}'", "(".repeat(400), ")".repeat(400))), "cannot be read"),
        (
            "a long pattern of LIKE",
            condition(format!("name LIKE '{}'", "%a".repeat(5_000))),
            "a pattern of LIKE of more than 1000 bytes",
        ),
        (
            "a long pattern in other signs",
            condition(format!("name !~~* '{}'", "%a".repeat(5_000))),
            "a pattern of LIKE of more than 1000 bytes",
        ),
        ("a pattern of LIKE from a column", condition("name LIKE service"), "a pattern of LIKE is computed anew for each row"),
    ];
    all.iter().for_each(|(name, text, wanted)| check(name, text, wanted));
}

/// A parser builds these without recursion; whoever walks through the tree needs the stack for it, if only to free it.
#[test]
fn what_is_nested_or_chained_too_deep_is_refused() {
    let chain = "more than 150 operators in one chain";
    let unions = chained(70, COUNTED, " UNION ALL ");
    let joins: String = (1..70).map(|n| format!(" JOIN ({COUNTED}) a{n} ON a{n}.service = a0.service")).collect();
    let parts =
        |n: usize, part: &dyn Fn(usize) -> String| (1..n).map(|at| format!(", t{at} AS ({})", part(at))).collect::<String>();
    let cte = |n: usize, part: &dyn Fn(usize) -> String| {
        sql(format!("WITH t0 AS ({COUNTED}){} SELECT service, value FROM t{}", parts(n, part), n - 1))
    };
    let all = [
        ("parentheses", condition(format!("{}1 = 1{}", "(".repeat(4_000), ")".repeat(4_000))), "nested more than 50 levels deep"),
        (
            "functions",
            condition(format!("{}1{} = 1", "abs(".repeat(4_000), ")".repeat(4_000))),
            "nested more than 50 levels deep",
        ),
        ("signs", condition(format!("value = {}1", "- ".repeat(10_000))), "nested more than 50 levels deep"),
        (
            "queries",
            sql(format!("SELECT count(*) AS value FROM {}metrics{}", "(SELECT * FROM ".repeat(2_000), ") x".repeat(2_000))),
            "nested more than 50 levels deep",
        ),
        ("AND, 200 times", condition(chained(200, "value > 1", " AND ")), chain),
        ("OR, as often as there is room", condition(chained(4_900, "value > 1", " OR ")), chain),
        ("sums", condition(format!("value > {}", chained(9_000, "1", "+"))), chain),
        ("joined texts", condition(format!("name = {}", chained(9_000, "name", "||"))), chain),
        ("casts", condition(format!("value{} = 1", "::int".repeat(9_000))), chain),
        ("IS NULL", condition(format!("value{}", " IS NULL".repeat(9_000))), chain),
        (
            "sums of aggregates",
            sql(format!("SELECT service, {} AS value FROM metrics GROUP BY service", chained(2_000, "sum(value)", "+"))),
            chain,
        ),
        ("UNION of nothing", sql(chained(6_000, "SELECT 1", " UNION ")), chain),
        ("UNION", sql(unions), "more than 64 tables and queries"),
        ("JOIN", sql(format!("SELECT a0.service, 1.0 AS value FROM ({COUNTED}) a0{joins}")), "more than 64 tables and queries"),
        ("WITH upon WITH", cte(1_000, &|at| format!("SELECT * FROM t{}", at - 1)), "more than 64 tables and queries"),
        (
            "long WITH upon WITH",
            cte(60, &|at| format!("SELECT DISTINCT service, value FROM t{} WHERE value > {at} ORDER BY value LIMIT 9", at - 1)),
            "parts in each other",
        ),
        (
            "sums upon sums",
            cte(60, &|at| format!("SELECT service, value + 1 + 2 + 3 + 4 AS value FROM t{}", at - 1)),
            "operators in each other",
        ),
        (
            "a list of 20,000 words",
            condition(format!("name IN ({})", chained(20_000, "'a'", ","))),
            "more than 20000 words and signs",
        ),
        ("200 KB of names", condition(format!("{}a = 1", "a.".repeat(100_000))), "more than 20000 words and signs"),
        ("5 MB of SQL", condition(format!("name = '{}'", "x".repeat(5_000_000))), "the limit of a rule file is 262144"),
        ("comments in each other", sql(format!("{COUNTED} {}", "/*".repeat(100_000))), "EOF while in a multi-line comment"),
        (
            "5 MB of front matter",
            fronted(&format!("description: {}\n", "x".repeat(5_000_000))),
            "the limit of a rule file is 262144",
        ),
        (
            "lists in front matter",
            fronted(&format!("description: {}{}\n", "[".repeat(50_000), "]".repeat(50_000))),
            "nested too deeply",
        ),
        (
            "maps in front matter",
            fronted(&format!("description: {}{}\n", "{a: ".repeat(30_000), "}".repeat(30_000))),
            "nested too deeply",
        ),
        ("lines in front matter", fronted(&format!("description:\n  {}x\n", "- ".repeat(50_000))), "nested too deeply"),
        ("laughs in front matter", fronted(&laughs()), "with each alias"),
        ("an alias of itself", fronted("description: &a [*a]\n"), "an alias stands within what it names"),
        ("15,000 keys", fronted(&(0..15_000).map(|key| format!("k{key}: 1\n")).collect::<String>()), "14900 more errors"),
        ("a long template", described(format!("{{{{ 1{} }}}}", " + 1".repeat(20_000))), "the limit of a template is 16384"),
        ("blocks in a template", described("{%if 1%}".repeat(1_000)), "recursion"),
        ("attributes in a template", described(format!("{{{{ service{} }}}}", ".a".repeat(8_000))), "is one text or number"),
        ("calls in a template", described(format!("{{{{ service{} }}}}", "()".repeat(8_000))), "not callable"),
        ("a text without end in a template", described("{{ 'x' * 1000000000 }}"), "50000 steps"),
        ("a file in a template", described("{% include '/etc/passwd' %}"), "unknown statement include"),
    ];
    all.iter().for_each(|(name, text, wanted)| check(name, text, wanted));
}

/// A list of lists, each nine times the one before.
fn laughs() -> String {
    let mut text = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_string();
    for (of, name) in ('a'..='h').zip('b'..='i') {
        text += &format!("{name}: &{name} [{}]\n", vec![format!("*{of}"); 9].join(","));
    }
    text
}

/// What is just within the limits works on the stack that threads have, also where nothing is optimised, and templates that parse do.
#[test]
fn what_is_within_the_limits_needs_no_more_stack_than_there_is() {
    let parts: String =
        (1..24).map(|n| format!(", t{n} AS (SELECT service, value + 1 + 1 + 1 + 1 + 1 AS value FROM t{})", n - 1)).collect();
    let joins: String = (1..31).map(|n| format!(" JOIN ({COUNTED}) a{n} ON a{n}.service = a0.service")).collect();
    let sum = chained(70, "sum(value)", " + ");
    let all = [
        (
            "and",
            format!(
                "SELECT service, count(*) AS value FROM metrics WHERE {} GROUP BY service",
                chained(149, "value > 0", " AND ")
            ),
        ),
        (
            "texts",
            format!(
                "SELECT service, count(*) AS value FROM metrics WHERE {} <> 'y' GROUP BY service",
                chained(148, "name", " || ")
            ),
        ),
        ("sums", format!("SELECT service, {} AS value FROM metrics GROUP BY service", chained(149, "sum(value)", " + "))),
        ("having", format!("SELECT service, {sum} AS value FROM metrics GROUP BY service HAVING value + value > 1")),
        ("unions", chained(60, COUNTED, " UNION ")),
        ("joins", format!("SELECT a0.service, a30.value FROM ({COUNTED}) a0{joins}")),
        ("parts", format!("WITH t0 AS ({COUNTED}){parts} SELECT service, value FROM t23")),
    ];
    for (name, query) in all {
        let small = std::thread::Builder::new().name(name.into()).stack_size(2 << 20);
        let work = move || {
            let done = run(Some(rule(name, "window: 1m", &query)), &events(3), &EngineParams::default(), None);
            (done.stats(name).breaches, done.stats(name).errors)
        };
        let (breaches, errors) = small.spawn(work).unwrap().join().unwrap();
        assert!(breaches > 0 && errors == 0, "{name}: {breaches} breaches, {errors} errors");
    }
    for template in ["-", "not ", "1+", "1<", "1 and "] {
        let long = described(format!("{{{{ {}1 }}}}", template.repeat(16_000 / template.len())));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("long.sql"), long).unwrap();
        let done = squelch(dir.path(), &["check", "long.sql"]);
        assert_eq!(done.status.code(), Some(0), "{template}: {done:?}");
    }
}

#[test]
fn what_is_no_file_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.sql");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("zeros.sql")).unwrap();
    std::os::unix::fs::symlink(dir.path(), dir.path().join("again")).unwrap();
    let done = squelch(dir.path(), &["check", "."]);
    let said = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(
        said.contains("pipe.sql") && said.contains("zeros.sql") && said.contains("no file: rules are read from files"),
        "{said}"
    );
}

#[test]
fn settings_and_graphs_without_end_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let scenario = root().join("fixtures/scenarios/cascade");
    let events = scenario.join("events.jsonl").to_string_lossy().into_owned();
    let rules = scenario.join("rules").to_string_lossy().into_owned();
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(20_000), close.repeat(20_000));
    for (name, flag, text, wanted) in [
        ("laughs", "--config", laughs(), "laughs.yaml:"),
        ("deep", "--config", format!("rules: {}", deep("[", "]")), "deep.yaml:"),
        ("long", "--config", format!("rules: {}", "x".repeat(2_000_000)), "more than 1048576 bytes"),
        ("graph_laughs", "--topology", laughs() + "nodes: *i\n", "graph_laughs.yaml:"),
        ("graph_deep", "--topology", format!("nodes: {}", deep("[", "]")), "graph_deep.yaml:"),
        ("graph_json", "--topology", format!("{{\"nodes\": {}}}", deep("[", "]")), "graph_json.yaml:"),
        (
            "graph_maps",
            "--topology",
            format!("{{\"nodes\": [{}1{}]}}", "{\"x\": ".repeat(20_000), "}".repeat(20_000)),
            "graph_maps.yaml:",
        ),
    ] {
        let file = at(&format!("{name}.yaml"));
        std::fs::write(&file, text).unwrap();
        let done = squelch(dir.path(), &["replay", "--rules", &rules, "--events", &events, flag, &file]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let shown: String = said.chars().take(1_000).collect();
        assert_eq!(done.status.code(), Some(2), "{name}: {shown}");
        assert!(said.contains(wanted), "{name}: {shown}");
        assert!(said.len() < 100_000, "{name}: {} bytes are said", said.len());
    }
    let done = squelch(dir.path(), &["replay", "--rules", &rules, "--events", &events, "--config", "/dev/zero"]);
    assert!(String::from_utf8_lossy(&done.stderr).contains("more than 1048576 bytes"), "{done:?}");
}
