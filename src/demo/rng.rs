//! A small seeded generator, so that one seed is one recording, on every machine.
//!
//! Owns: randomness. Only `+ - * /` on floats: functions such as `exp` differ between machines in their last bits, and the
//! bytes of a recording must not.
//! Idea from: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), with the
//! constants of Sebastiano Vigna's public-domain `splitmix64.c`.

pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly from `[0, 1)`.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly from `[low, high)`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Evenly from `[low, high]`, whole.
    pub(crate) fn between_whole(&mut self, low: i64, high: i64) -> i64 {
        low + self.between(0.0, (high - low + 1) as f64) as i64
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A whole number whose mean is `expected`: 2.3 is 2, and in three of ten cases 3. It spreads less than real arrivals do,
    /// which keeps shares of few requests near what the script says.
    pub(crate) fn whole(&mut self, expected: f64) -> f64 {
        let floor = expected.max(0.0).floor();
        if self.chance(expected.max(0.0) - floor) { floor + 1.0 } else { floor }
    }

    /// `None` of an empty slice only.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.between(0.0, choices.len() as f64) as usize)
    }
}
