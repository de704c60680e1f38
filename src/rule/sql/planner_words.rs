//! The planner's words, which no rule author should meet: names of types as people call them, functions of other engines with what does
//! their work here, and, where a message is still about the planner's own parts, another message.

use crate::model::diagnostic::Diagnostic;

/// Types as DataFusion writes them and as people say them, the longer names first.
const TYPES: [(&str, &str); 12] = [
    ("Utf8View", "a text"),
    ("LargeUtf8", "a text"),
    ("Utf8", "a text"),
    ("String", "a text"),
    ("Float64", "a number"),
    ("Int64", "a number"),
    ("UInt64", "a number"),
    ("Decimal", "a number"),
    ("Boolean", "true/false"),
    ("Timestamp", "a time"),
    ("Interval", "a span of time"),
    ("Duration", "a span of time"),
];

/// What a type of the planner's is called.
pub fn type_in_words(text: &str) -> Option<&'static str> {
    TYPES.into_iter().find(|(name, _)| text.trim().starts_with(name)).map(|(_, words)| words)
}

/// Parts of texts by which the planner's own words are known.
pub const INTERNALS: [&str; 40] = [
    "Utf8",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Float16",
    "Float32",
    "Float64",
    "Decimal128",
    "Decimal256",
    "Decimal32",
    "Decimal64",
    "Boolean,",
    "Boolean ",
    "Timestamp(",
    "Interval(",
    "Duration(",
    "Date32",
    "Date64",
    "Time32",
    "Time64",
    "Struct(",
    "List(",
    "Map(",
    "UDF",
    "UDAF",
    "UDWF",
    "DataFusion",
    "LogicalPlan",
    "Physical plan",
    "Internal error",
    "Arrow error",
    "Arrow",
    "Optimizer",
    "Signature",
    "Expr",
    "ScalarValue",
    "sqlparser",
    "feature enabled",
    " { ",
];

/// A message without the planner's words. Where types are all that is wrong with it they are translated; else it is replaced.
pub fn without(diagnostic: Diagnostic) -> Diagnostic {
    let Diagnostic { span, message, hint } = diagnostic;
    let message = translated(&message);
    let hint = hint.map(|hint| translated(&hint)).filter(|hint| !is_internal(hint));
    if !is_internal(&message) {
        return Diagnostic { span, message, hint };
    }
    let hint =
        hint.unwrap_or_else(|| "write it another way, in smaller steps: WITH part AS (SELECT …) SELECT … FROM part".into());
    Diagnostic { span, message: "a part of this query cannot be evaluated".into(), hint: Some(hint) }
}

fn is_internal(text: &str) -> bool {
    INTERNALS.iter().any(|word| text.contains(word))
}

/// Types by the words that people have for them, their parameters left out.
fn translated(text: &str) -> String {
    let text = ["Internal error: ", "Arrow error: ", "Parser error: ", "Execution error: ", "Schema error: "]
        .iter()
        .fold(text.to_string(), |text, prefix| text.replace(prefix, ""));
    let mut words = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let starts_word = !words.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let found =
            TYPES.iter().filter(|_| starts_word).find(|(name, _)| rest.starts_with(name) && name.starts_with(char::is_uppercase));
        let Some((name, said)) = found.filter(|(name, _)| *name != "String" && *name != "Interval") else {
            words.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        words.push_str(said);
        rest = rest[name.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.starts_with('(') {
            rest = rest.find(')').map_or("", |end| &rest[end + 1..]);
        }
    }
    words
}

/// What does here what a function of another engine does.
pub fn instead_of(function: &str) -> Option<&'static str> {
    Some(match function {
        "time_bucket" | "tumble" | "hop" | "session" | "tumbling" | "time_slice" => {
            "the window is set in the front matter: `window: 5m` and `every: 1m`, or `session: 10m`; inside a query, date_bin(INTERVAL '1 minute', ts)"
        }
        "match_recognize" => "events in an order are a detector: `sequence: { steps: [a, b], within: 5m }` in the front matter",
        "md5" | "sha1" | "sha256" | "sha512" | "digest" | "hash" => "a rule needs no hash: group by the text itself",
        "if" | "iff" | "iif" => "write CASE WHEN … THEN … ELSE … END",
        "group_concat" | "listagg" | "list" | "collect_list" | "json_agg" | "array_to_string" => {
            "it keeps every row of the window: use min, max, count or last_value(… ORDER BY ts)"
        }
        "any_value" | "arbitrary" => {
            "which value it is depends on the order of arrival: use min or max, or last_value(… ORDER BY ts)"
        }
        "mode" => "count by value in a subquery, then max_by(value, count)",
        "first" | "earliest" => "write first_value(… ORDER BY ts)",
        "latest" => "write last_value(… ORDER BY ts), or last(value) for the sum of the last values of all series",
        "regexp_extract_all" | "regexp_split_to_array" | "string_to_array" | "regexp_split_to_table" => {
            "a rule has no lists: take one part with split_part(…, ' ', 1) or regexp_extract(…, 'pattern', 1)"
        }
        "ifnull" | "isnull" => "write coalesce(…, 0)",
        "getdate" | "sysdate" | "unix_timestamp" => {
            "a rule must give the same answer live and replayed, so it may not read the clock: the window already bounds the time"
        }
        "strftime" | "date_format" => "write to_char(ts, '%H:%M')",
        "datediff" | "date_diff" | "timestampdiff" => "subtract the times: extract(epoch FROM b - a) is the seconds between them",
        "dateadd" | "date_add" => "add an interval: ts + INTERVAL '1 hour'",
        "len" => "write length(…)",
        "hour_of_day" | "local_time" => "write local_hour(ts), in the time zone of the rule",
        "year" => "write extract(year FROM ts)",
        "month" => "write extract(month FROM ts)",
        "day" => "write extract(day FROM ts)",
        "hour" => "write extract(hour FROM ts)",
        "minute" => "write extract(minute FROM ts)",
        "second" => "write extract(second FROM ts)",
        "dayofweek" | "day_of_week" | "weekday" => {
            "write extract(isodow FROM ts), or local_weekday(ts) in the time zone of the rule"
        }
        "toduration" | "todouble" | "tofloat64" | "toint64" | "to_number" => "write TRY_CAST(… AS DOUBLE)",
        _ => return None,
    })
}
