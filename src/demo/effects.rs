//! What a script can contain: a signal that leaves its healthy level, log lines of a service, an alert of another system.
//!
//! Owns: the types of the script, and how strong an effect is at a given second. Seconds count from the recording's start.

/// When an effect holds, and how long it takes to build up and to fade.
#[derive(Clone, Copy)]
pub(crate) struct EffectWindow {
    pub(crate) from_s: i64,
    pub(crate) rise_s: i64,
    pub(crate) until_s: i64,
    pub(crate) fall_s: i64,
}

impl EffectWindow {
    /// 0 outside, 1 when fully there, in between while it rises or falls.
    pub(crate) fn strength(&self, at_s: i64) -> f64 {
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
pub(crate) enum Signal {
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
pub(crate) struct Effect {
    pub(crate) env: &'static str,
    pub(crate) entity: &'static str,
    pub(crate) signal: Signal,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) window: EffectWindow,
}

/// Log lines that a service writes over and over.
pub(crate) struct LogTraffic {
    pub(crate) env: &'static str,
    pub(crate) service: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) body: &'static str,
    /// At full strength, in the mean.
    pub(crate) lines_per_10_s: f64,
    pub(crate) window: EffectWindow,
}

/// A log line that is written once.
pub(crate) struct LogLine {
    pub(crate) env: &'static str,
    pub(crate) service: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) body: &'static str,
    pub(crate) at_s: i64,
}

/// An alert of another system: when it fires, and when it is resolved, if ever.
pub(crate) struct Announcement {
    pub(crate) env: &'static str,
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) origin: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) firing_at_s: i64,
    pub(crate) resolved_at_s: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_rises_holds_and_falls() {
        let window = EffectWindow { from_s: 10, rise_s: 10, until_s: 40, fall_s: 20 };
        let strengths = [9, 15, 20, 39, 50, 60, 99].map(|at_s| window.strength(at_s));
        assert_eq!(strengths, [0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0]);
    }
}
