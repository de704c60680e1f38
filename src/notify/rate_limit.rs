//! How many messages with sound a receiver gets in a time. What is more is not lost: it waits for a digest.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::model::duration::parse_ms;
use crate::model::time::TimestampMs;

/// So many messages in such a time: `30/10m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSetting {
    /// How many.
    pub messages: NonZeroU32,
    /// In which time.
    pub per_ms: i64,
}

/// The text is no rate.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no limit of messages")]
pub struct NoRate(String);

impl FromStr for RateSetting {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Self, NoRate> {
        let wrong = || NoRate(text.to_string());
        let (messages, per) = text.split_once('/').ok_or_else(wrong)?;
        let messages = messages.trim().parse().map_err(|_| wrong())?;
        let per_ms = parse_ms(per.trim()).map_err(|_| wrong())?;
        if (1..=MAX_MS).contains(&per_ms) { Ok(Self { messages, per_ms }) } else { Err(wrong()) }
    }
}

/// A limit over a longer time than a day would be forgotten at each restart.
const MAX_MS: i64 = 24 * 3_600_000;

/// The time that the limiter sees: that which the caller passes in.
#[derive(Clone, Debug, Default)]
struct PassedInClock(Arc<AtomicU64>);

impl Clock for PassedInClock {
    type Instant = Millis;

    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }
}

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Millis(u64);

impl Reference for Millis {
    fn duration_since(&self, earlier: Self) -> governor::nanos::Nanos {
        Duration::from_millis(self.0.saturating_sub(earlier.0)).into()
    }

    fn saturating_sub(&self, duration: governor::nanos::Nanos) -> Self {
        Self(self.0.saturating_sub(Duration::from(duration).as_millis() as u64))
    }
}

impl std::ops::Add<governor::nanos::Nanos> for Millis {
    type Output = Self;

    fn add(self, other: governor::nanos::Nanos) -> Self {
        // Rounded up: half a millisecond is no time in which to allow one more.
        Self(self.0.saturating_add(Duration::from(other).as_nanos().div_ceil(1_000_000) as u64))
    }
}

/// The limit of one receiver.
pub struct RateLimit {
    clock: PassedInClock,
    limiter: RateLimiter<NotKeyed, InMemoryState, PassedInClock, NoOpMiddleware<Millis>>,
    every_ms: i64,
}

impl RateLimit {
    /// A limit of which nothing is used.
    pub fn new(setting: RateSetting, now_ms: TimestampMs) -> Self {
        let clock = PassedInClock(Arc::new(AtomicU64::new(now_ms.max(0) as u64)));
        let every = Duration::from_millis(setting.per_ms as u64) / setting.messages.get();
        let quota = Quota::with_period(every.max(Duration::from_nanos(1))).unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN));
        let limiter = RateLimiter::direct_with_clock(quota.allow_burst(setting.messages), clock.clone());
        Self { clock, limiter, every_ms: (every.as_millis() as i64).max(1) }
    }

    /// Takes one message of the limit; where there is none left, says when the next one is.
    pub fn take(&self, now_ms: TimestampMs) -> Result<(), TimestampMs> {
        self.clock.0.store(now_ms.max(0) as u64, Ordering::Relaxed);
        self.limiter.check().map_err(|_| now_ms + self.every_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_and_a_time() {
        assert_eq!("30/10m".parse(), Ok(RateSetting { messages: NonZeroU32::new(30).unwrap(), per_ms: 600_000 }));
        for text in ["30", "0/1m", "-1/1m", "30/", "30/0s", "30/2d", "x/1m"] {
            assert_eq!(text.parse::<RateSetting>(), Err(NoRate(text.into())));
        }
    }

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let limit = RateLimit::new("3/3m".parse().unwrap(), 1_000_000);
        assert!((0..3).all(|_| limit.take(1_000_000).is_ok()));
        assert_eq!(limit.take(1_000_000), Err(1_060_000));
        assert!(limit.take(1_059_000).is_err());
        assert!(limit.take(1_060_000).is_ok());
        assert!(limit.take(1_060_001).is_err());
    }
}
