//! What Datadog's formats share: tags, and names of columns among them.

use crate::io::decode::raw_event::Text;
use crate::io::decode::rows::Rows;

/// Writes a tag, `env:prod` or only `canary`.
pub(crate) fn tag<'a>(rows: &mut Rows<'_, '_, 'a>, tag: Text<'a>) {
    match tag {
        Text::Borrowed(text) => {
            let (key, value) = text.trim().split_once(':').unwrap_or((text.trim(), "true"));
            rows.pair(key.into(), value.into());
        }
        Text::Owned(text) => {
            let (key, value) = text.trim().split_once(':').unwrap_or((text.trim(), "true"));
            rows.pair(key.to_string().into(), value.to_string().into());
        }
    }
}

/// Writes tags in one text, with commas between them.
pub(crate) fn tags<'a>(rows: &mut Rows<'_, '_, 'a>, tags: Text<'a>) {
    match tags {
        Text::Borrowed(text) => text.split(',').for_each(|one| tag(rows, one.into())),
        Text::Owned(text) => text.split(',').for_each(|one| tag(rows, one.to_string().into())),
    }
}

/// The temporality of a metric, by its type's name.
pub(crate) fn temporality(name: &str) -> &'static str {
    if name == "count" { "delta" } else { "gauge" }
}

/// The same by its type's number: 1 is a count, 2 a rate, 3 a gauge.
pub(crate) fn temporality_of_number(metric_type: u64) -> &'static str {
    if metric_type == 1 { "delta" } else { "gauge" }
}
