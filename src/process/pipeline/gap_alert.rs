//! A gap in the input becomes an alert: people who rely on alerts must know that some may be missing.

use crate::engine::self_alert::SelfAlert;
use crate::io::nats::input::gap::Gap;
use crate::model::labels::Labels;
use crate::model::severity::Severity;
use crate::model::time::MINUTE_MS;

/// The alert's name, where other alerts have their rule.
pub const STREAM_GAP: &str = "squelch_stream_gap";
/// How long it lasts, in event time: nothing repairs what is lost, and by then somebody has read it.
const LASTS_MS: i64 = 10 * MINUTE_MS;

/// The alert of a gap. Logs it as well.
pub fn alert(gap: &Gap) -> SelfAlert {
    let summary = format!("{gap}: alerts may be missing or late");
    tracing::error!(stream = gap.stream, after = gap.after, "{summary}");
    let labels = [("service", "squelch"), ("stream", gap.stream.as_str()), ("cause", gap.code())];
    let labels = Labels::new(labels.map(|(key, value)| (key.to_string(), value.to_string())));
    SelfAlert { name: STREAM_GAP.into(), severity: Severity::Critical, labels, summary, lasts_ms: LASTS_MS }
}
