//! The intake's metrics: requests and bytes by system, format and outcome.

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::io::intake::stats::IntakeStats;

/// Writes them.
pub fn encode(stats: &IntakeStats, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    let counts = stats.counts();
    let help = "Requests of senders, by system, format and what became of them";
    let mut requests = encoder.encode_descriptor("squelch_intake_requests", help, None, MetricType::Counter)?;
    for (of, count) in &counts {
        let labels = [("system", of.system), ("format", of.format), ("outcome", of.outcome)];
        ConstCounter::new(count.requests).encode(requests.encode_family(&labels)?)?;
    }
    let help = "Bytes of their bodies, as sent";
    let mut bytes = encoder.encode_descriptor("squelch_intake_body_bytes", help, None, MetricType::Counter)?;
    for (of, count) in &counts {
        let labels = [("system", of.system), ("format", of.format), ("outcome", of.outcome)];
        ConstCounter::new(count.bytes).encode(bytes.encode_family(&labels)?)?;
    }
    Ok(())
}
