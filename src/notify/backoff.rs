//! How long to wait before the next try. The jitter comes from what is tried, so that a test knows it and many receivers still do not
//! try at once.

use sha2::{Digest, Sha256};

/// The first wait; doubled with each failure.
const FIRST_MS: i64 = 1_000;
/// No wait is longer, unless the receiver asks for it.
const MAX_MS: i64 = 60_000;
/// A receiver that asks for more is asked again after this all the same: its clock may be wrong.
const RETRY_AFTER_MAX_MS: i64 = 3_600_000;

/// The wait after the failure number `failures`, from 1; at least what the receiver asked for.
pub fn wait_ms(failures: u32, of: &str, asked_ms: Option<i64>) -> i64 {
    let doubled = FIRST_MS.saturating_mul(1_i64.checked_shl(failures.saturating_sub(1).min(30)).unwrap_or(i64::MAX)).min(MAX_MS);
    let asked = asked_ms.unwrap_or(0).clamp(0, RETRY_AFTER_MAX_MS);
    // Never earlier than asked for.
    doubled.max(asked) + jitter(failures, of, doubled)
}

/// Up to a quarter of the wait.
fn jitter(failures: u32, of: &str, wait: i64) -> i64 {
    let digest = Sha256::digest(format!("{of}/{failures}"));
    let share = i64::from(u16::from_be_bytes([digest[0], digest[1]]));
    wait / 4 * share / i64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_never_undercut_retry_after() {
        let waits: Vec<i64> = (1..=12).map(|failures| wait_ms(failures, "chat", None)).collect();
        for (at, wait) in waits.iter().enumerate() {
            let base = (1_000 << at.min(6)).min(60_000);
            assert!((base..=base + base / 4).contains(wait), "failure {}: {wait}", at + 1);
        }
        assert_eq!(wait_ms(3, "chat", None), wait_ms(3, "chat", None));
        assert_ne!(wait_ms(3, "chat", None), wait_ms(3, "oncall", None));
        assert!(wait_ms(1, "chat", Some(30_000)) >= 30_000);
        assert!(wait_ms(u32::MAX, "chat", Some(i64::MAX)) <= 3_600_000 + 15_000);
    }
}
