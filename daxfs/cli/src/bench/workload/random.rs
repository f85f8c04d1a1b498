//! Random numbers for workloads: where, how long, when.
//!
//! Marsaglia's xorshift (Journal of Statistical Software 8(14), 2003): good enough to spread
//! threads and ranges. Touches nothing, takes no locks.

use super::stamp;

/// A generator of one thread.
pub(super) struct Random(u64);

impl Random {
    /// A generator that no other thread and no other slice has.
    pub(super) fn seeded(seed: u64) -> Self {
        Self((stamp::fresh() ^ seed << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    pub(super) fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, which is not 0. The low bits are the worse ones.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.number() >> 16) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_a_small_bound_comes_up() {
        let mut random = Random::seeded(3);
        let mut seen = [0_u32; 7];
        for _ in 0..7000 {
            seen[random.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 500), "{seen:?}");
    }
}
