//! What the planner says about a rule's SQL, in words for rule authors: the place, the message and a hint.

use std::ops::Range;

use datafusion::common::{DataFusionError, SchemaError};

use crate::model::diagnostic::{Diagnostic, nearest, offset_of};
use crate::model::event::{Kind, label_of_column};
use crate::rule::aggregate::series::function::{HIDDEN, named as series_function};
use crate::rule::plan;
use crate::rule::sql::catalog;
use crate::rule::sql::places::{find_word, first_word};
use crate::rule::sql::planner_words::{self, type_in_words};

/// What is wrong, where `text` is the rule's SQL.
pub fn explain(error: &DataFusionError, text: &str) -> Diagnostic {
    let diagnostic = error.diagnostic();
    let place = diagnostic.and_then(|found| found.span.or_else(|| found.notes.iter().find_map(|note| note.span)));
    let span = place.map(|span| {
        let start = offset_of(text, span.start.line as usize, span.start.column as usize);
        start..offset_of(text, span.end.line as usize, span.end.column as usize).max(start)
    });
    let innermost = plan::innermost(error);
    let raw = innermost.strip_backtrace();
    let raw = raw.trim_start_matches("Error during planning: ").trim_start_matches("This feature is not implemented: ");
    if let DataFusionError::SchemaError(schema_error, _) = innermost {
        return schema(schema_error, span, text);
    }
    let explained = named(raw, &span, text).or_else(|| typed(raw, &span, text)).unwrap_or_else(|| {
        let (message, hint) = match raw.split_once(": ") {
            Some((message, hint)) if raw.len() < 240 && !message.contains(['(', '\'']) => {
                (message, Some(hint.to_string()).filter(|hint| !hint.contains('{')))
            }
            _ => (raw, None),
        };
        let message = message.lines().next().unwrap_or_default().to_string();
        let literal = |name: &str| find_sign(text, &format!("'{name}'"));
        let quoted = message.split('`').nth(1).and_then(|name| literal(name).or_else(|| find_word(text, name)));
        Diagnostic { span: span.or(quoted).unwrap_or_else(|| first_word(text)), message, hint }
    });
    planner_words::without(explained)
}

/// Columns that are missing, ambiguous or there twice.
fn schema(error: &SchemaError, span: Option<Range<usize>>, text: &str) -> Diagnostic {
    let at = |name: &str| span.clone().or_else(|| find_word(text, name)).unwrap_or_else(|| first_word(text));
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let span = at(&field.name);
            if HIDDEN.contains(&field.name.as_str()) && series_function(&text[span.clone()].to_lowercase()).is_some() {
                let message = format!("{}() reads the column `{}`, which is not there", &text[span.clone()], field.name);
                let hint = "it is about the table metrics; a subquery that it reads must select series, temporality and ts too";
                return Diagnostic::new(span, message, hint);
            }
            let double_quoted = text[span.clone()].trim_start_matches(|c| c != '"').starts_with('"');
            let known: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            let hint = if double_quoted && !known.iter().any(|name| name.eq_ignore_ascii_case(&field.name)) {
                format!("texts take single quotes: '{}'; double quotes name a column", field.name)
            } else {
                unknown_column_hint(&field.name, known.clone())
            };
            match &field.relation {
                Some(table) if known.contains(&field.name.as_str()) => Diagnostic {
                    span,
                    message: format!("`{table}` is no table of this query"),
                    hint: Some(format!("write `{}`, or name a table after FROM `{table}`", field.name)),
                },
                _ => Diagnostic { span, message: format!("unknown column `{}`", field.name), hint: Some(hint) },
            }
        }
        SchemaError::AmbiguousReference { field } => Diagnostic {
            span: at(&field.name),
            message: format!("`{}` is a column of more than one table here", field.name),
            hint: Some(format!("say which: a.{}", field.name)),
        },
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => Diagnostic {
            span: at(name),
            message: format!("two columns are called `{name}`"),
            hint: Some("give each column a name of its own with AS".into()),
        },
    }
}

/// Functions, tables and columns that the planner names.
fn named(raw: &str, span: &Option<Range<usize>>, text: &str) -> Option<Diagnostic> {
    let at = |name: &str| span.clone().or_else(|| find_word(text, name)).unwrap_or_else(|| first_word(text));
    if let Some(name) = raw.strip_prefix("Invalid function '").and_then(|tail| tail.split('\'').next()) {
        return Some(match catalog::refusal(&name.to_lowercase()) {
            Some(why) => {
                Diagnostic { span: at(name), message: format!("{name}() is not allowed in a rule"), hint: Some(why.to_string()) }
            }
            None => Diagnostic { span: at(name), message: format!("unknown function {name}()"), hint: function_hint(name) },
        });
    }
    if let Some(name) = raw.strip_prefix("table '").and_then(|tail| tail.split('\'').next()) {
        let tables = Kind::ALL.map(Kind::table);
        let hint = match nearest(name, tables) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the tables are {}; a metric is a name: FROM metrics WHERE name = '{name}'", tables.join(", ")),
        };
        return Some(Diagnostic { span: at(name), message: format!("unknown table `{name}`"), hint: Some(hint) });
    }
    if raw.starts_with("Could not plan array literal") {
        let span = span.clone().or_else(|| find_sign(text, "["));
        let hint = "name several values with IN ('a', 'b')";
        return Some(Diagnostic::new(span.unwrap_or_else(|| first_word(text)), "a rule has no lists", hint));
    }
    if raw.starts_with("Operator -> ") || raw.starts_with("Operator #> ") {
        let span = find_sign(text, "->").or_else(|| find_sign(text, "#>")).or_else(|| span.clone());
        return Some(Diagnostic::new(
            span.unwrap_or_else(|| first_word(text)),
            "`->` makes JSON, which a rule cannot hold",
            "take the text out of it: body->>'key', or body->'outer'->>'key'",
        ));
    }
    if raw.starts_with("HAVING clause references") {
        let place = text.to_ascii_uppercase().find("HAVING").map(|at| at..at + "HAVING".len());
        return Some(Diagnostic {
            span: place.unwrap_or_else(|| first_word(text)),
            message: "HAVING names a column that is neither grouped nor aggregated".into(),
            hint: Some("move a condition on events to WHERE".into()),
        });
    }
    if raw.starts_with("Column in ") && raw.contains("must be in GROUP BY") {
        let column = raw.split("column \"").nth(1).and_then(|tail| tail.split("\" must").next()).unwrap_or_default();
        let name = column.rsplit_once("labels[").map_or_else(
            || column.rsplit('.').next().unwrap_or_default().to_string(),
            |(_, key)| format!("labels[{}", key.trim_end_matches('"')),
        );
        let name = name.trim_matches('"');
        let hint = format!("add it to GROUP BY, or aggregate it: max({name})");
        return Some(Diagnostic {
            span: at(name),
            message: format!("`{name}` is neither grouped nor aggregated"),
            hint: Some(hint),
        });
    }
    None
}

/// Operators and functions that were given the wrong type.
fn typed(raw: &str, span: &Option<Range<usize>>, text: &str) -> Option<Diagnostic> {
    let somewhere = || span.clone().unwrap_or_else(|| first_word(text));
    if let Some(types) = raw.strip_prefix("Cannot coerce arithmetic expression ") {
        let types = types.trim_end_matches(" to valid types");
        let (left, op, right) = [" / ", " * ", " + ", " - ", " % "].into_iter().find_map(|op| {
            let (left, right) = types.split_once(op)?;
            Some((type_in_words(left)?, op, type_in_words(right)?))
        })?;
        let message = match op {
            " / " => format!("{left} cannot be divided by {right}"),
            " * " => format!("{left} cannot be multiplied by {right}"),
            " + " => format!("{right} cannot be added to {left}"),
            " - " => format!("{right} cannot be taken from {left}"),
            _ => format!("{left} has no remainder by {right}"),
        };
        let hint = "TRY_CAST(… AS DOUBLE) makes a number of a text".to_string();
        return Some(Diagnostic { span: somewhere(), message, hint: Some(hint) });
    }
    if let Some(types) = raw.split("Cannot infer common argument type for comparison operation ").nth(1) {
        let mut words = types.split(' ');
        let (left, right) = (words.next().and_then(type_in_words)?, words.next_back().and_then(type_in_words)?);
        return Some(Diagnostic { span: somewhere(), message: format!("{left} cannot be compared with {right}"), hint: None });
    }
    if let Some((what, kind)) =
        raw.strip_prefix("Cannot create filter with non-boolean predicate '").and_then(|tail| tail.split_once("' returning "))
    {
        let name = what.rsplit('.').next().unwrap_or(what);
        let from = text.to_ascii_uppercase().find("WHERE").unwrap_or(0);
        let place = find_word(&text[from..], name).map(|at| at.start + from..at.end + from);
        let span = place.unwrap_or_else(somewhere);
        let message = format!("`{name}` is {}, a condition is true or false", type_in_words(kind).unwrap_or("no condition"));
        return Some(Diagnostic { span, message, hint: Some(format!("compare it: {name} = …")) });
    }
    if let Some(name) =
        raw.strip_prefix('\'').filter(|_| raw.contains("No function matches")).and_then(|tail| tail.split('\'').next())
    {
        let span = span.clone().or_else(|| find_word(text, name)).unwrap_or_else(|| first_word(text));
        return Some(Diagnostic { span, message: format!("{name}() does not take these arguments"), hint: None });
    }
    let name = raw
        .split_once("to satisfy a call to '")
        .or_else(|| raw.split_once("Function '"))
        .and_then(|(_, tail)| tail.split('\'').next())
        .filter(|_| raw.contains("failed to match any signature") || raw.contains("coerce") || raw.contains("expects"))?;
    let given = raw.split_once("but received ").or_else(|| raw.split_once("coercion from ")).map_or("", |(_, tail)| tail);
    let message = match type_in_words(given) {
        Some(given) => format!("{name}() does not take {given}"),
        None => format!("{name}() does not take these arguments"),
    };
    let hint = match given {
        given if given.starts_with("Utf8") => Some("TRY_CAST(… AS DOUBLE) makes a number of a text".to_string()),
        given if given.starts_with("Boolean") => {
            Some("count those that are true: count_if(…); or make numbers of them: (…)::int".into())
        }
        _ => None,
    };
    Some(Diagnostic { span: span.clone().or_else(|| find_word(text, name)).unwrap_or_else(|| first_word(text)), message, hint })
}

fn function_hint(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let percentile =
        lower.starts_with("perc") || lower.starts_with("quantile") || lower.strip_prefix('p').is_some_and(starts_with_digit);
    if percentile {
        return Some("percentiles are p50, p90, p95, p99".into());
    }
    if let Some(instead) = planner_words::instead_of(&lower) {
        return Some(instead.into());
    }
    nearest(name, catalog::function_names()).map(|near| format!("did you mean `{near}`?"))
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn unknown_column_hint(wrong: &str, mut known: Vec<&str>) -> String {
    known.sort_unstable();
    known.dedup();
    if wrong == "labels" {
        return "a label is read by its key: labels['region']".into();
    }
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let plain: Vec<&str> = known.into_iter().filter(|name| label_of_column(name).is_none()).collect();
            format!("the columns are {}; a label is labels['{wrong}']", plain.join(", "))
        }
    }
}

/// The place of a sign outside of texts in quotes.
fn find_sign(text: &str, sign: &str) -> Option<Range<usize>> {
    let quoted = |at: &usize| text[..*at].matches('\'').count() % 2 == 1;
    let at = text.match_indices(sign).map(|(at, _)| at).find(|at| !quoted(at) && !text[at + sign.len()..].starts_with('>'))?;
    Some(at..at + sign.len())
}
