//! What a script may say: that a signal leaves its healthy level, that a service logs, that another system sends an alert.
//!
//! Owns: the words of the script, and how strong a cue is at a given second. Seconds count from the recording's start.

/// A time during which something holds, with the time that it takes to build up and to go away.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) from_s: i64,
    pub(super) rise_s: i64,
    pub(super) until_s: i64,
    pub(super) fall_s: i64,
}

impl Span {
    /// 0 outside, 1 when fully there, in between while it rises or falls.
    pub(super) fn strength(&self, at_s: i64) -> f64 {
        let part = |passed_s: i64, whole_s: i64| (passed_s as f64 / whole_s.max(1) as f64).min(1.0);
        if at_s < self.from_s {
            0.0
        } else if at_s < self.until_s {
            part(at_s - self.from_s, self.rise_s)
        } else {
            1.0 - part(at_s - self.until_s, self.fall_s)
        }
    }
}

/// What can be disturbed. Shares and factors are 0 to 1; a factor multiplies what would have happened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    CpuPercent,
    DiskIoPercent,
    QueryMs,
    ConnectionsPercent,
    ReplicationLagS,
    RequestMs,
    ServerErrorShare,
    TrafficFactor,
    PageLoadMs,
    InteractionMs,
    JsErrorShare,
    SignupFactor,
    ConversationFactor,
    FeatureFactor,
    LoginFactor,
    CheckoutCompletedShare,
}

/// At full strength, the signal lies evenly between `low` and `high`, whatever its healthy level is.
pub(super) struct Effect {
    pub(super) env: &'static str,
    pub(super) entity: &'static str,
    pub(super) signal: Signal,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) span: Span,
}

/// Log lines that a service writes over and over.
pub(super) struct Chatter {
    pub(super) env: &'static str,
    pub(super) service: &'static str,
    pub(super) severity: &'static str,
    pub(super) body: &'static str,
    /// At full strength, in the mean.
    pub(super) lines_per_10_s: f64,
    pub(super) span: Span,
}

/// A log line that is written once.
pub(super) struct Remark {
    pub(super) env: &'static str,
    pub(super) service: &'static str,
    pub(super) severity: &'static str,
    pub(super) body: &'static str,
    pub(super) at_s: i64,
}

/// An alert of another system: when it says so, and when it takes it back, if ever.
pub(super) struct Announcement {
    pub(super) env: &'static str,
    pub(super) service: &'static str,
    pub(super) name: &'static str,
    pub(super) severity: &'static str,
    pub(super) origin: &'static str,
    pub(super) summary: &'static str,
    pub(super) firing_at_s: i64,
    pub(super) resolved_at_s: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_rises_holds_and_falls() {
        let span = Span { from_s: 10, rise_s: 10, until_s: 40, fall_s: 20 };
        let strengths = [9, 15, 20, 39, 50, 60, 99].map(|at_s| span.strength(at_s));
        assert_eq!(strengths, [0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0]);
    }
}
