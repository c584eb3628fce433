//! Impression ids: 128 bits that cannot be forged without the key, differ from each other, and say when they were made.
//!
//! From the lowest bit: 50 bits of a MAC over the rest; 50 bits that differ between ids of the same time; 28 bits of
//! time in steps of 16 s since 1970-01-01 UTC. The upper 78 bits are masked by a function of the MAC (the construction of
//! SIV), so that an id tells nothing to those without the key.
//!
//! Each scorer counts from a random start within each step of time. Two of 16,384 scorers that make a million ids a
//! second together share an id with a probability of 0.0003 in their whole life.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher24};

const TAG_BITS: u32 = 50;
const UNIQUE_BITS: u32 = 50;
const STEP_US: i64 = 16_000_000;
const LAST_STEP: i64 = (1 << (128 - TAG_BITS - UNIQUE_BITS)) - 1;
const TAG: u128 = (1 << TAG_BITS) - 1;
const UNIQUE: u64 = (1 << UNIQUE_BITS) - 1;
/// How far an event's time may lie before its decision's: clocks of a fleet differ.
const SKEW_US: i64 = 60_000_000;

/// An impression id that no decision has.
pub(crate) const NO_IMPRESSION: u128 = 0;

/// What an id is worth at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Forged,
    Expired,
    /// The time lies before that of the decision.
    Early,
}

/// Makes and checks impression ids. A fleet shares one key.
#[derive(Debug, Clone)]
pub(crate) struct ImpressionKey {
    tag: SipHasher24,
    mask: SipHasher24,
    max_age_us: i64,
}

impl ImpressionKey {
    /// Without a key, one that only this engine has.
    pub(crate) fn new(key: Option<u128>, max_age: Duration) -> Self {
        let key = key.unwrap_or_else(|| u128::from(random()) << 64 | u128::from(random()));
        let own = SipHasher24::new_with_key(&key.to_le_bytes());
        let derived = |purpose: &[u8]| {
            let mut hasher = own;
            hasher.write(purpose);
            SipHasher24::new_with_key(&hasher.finish128().as_bytes())
        };
        let max_age_us = i64::try_from(max_age.as_micros()).unwrap_or(i64::MAX);
        Self { tag: derived(b"adclick impression tag"), mask: derived(b"adclick impression mask"), max_age_us }
    }

    /// The id of a time and of what differs between ids of that time.
    fn sign(&self, step: u64, unique: u64) -> u128 {
        let told = u128::from(step) << UNIQUE_BITS | u128::from(unique & UNIQUE);
        let tag = hash(&self.tag, told) & TAG;
        (told << TAG_BITS) ^ (hash(&self.mask, tag) & !TAG) | tag
    }

    /// Whether an id was made with this key, and what its age is at a time.
    pub(crate) fn check(&self, id: u128, time_us: i64) -> Verdict {
        let tag = id & TAG;
        let told = ((id & !TAG) ^ (hash(&self.mask, tag) & !TAG)) >> TAG_BITS;
        if hash(&self.tag, told) & TAG != tag {
            return Verdict::Forged;
        }
        // It was made within the step, so its age is within a step, too.
        let made_us = (told >> UNIQUE_BITS) as i64 * STEP_US;
        if time_us < made_us - SKEW_US {
            Verdict::Early
        } else if time_us.saturating_sub(made_us + STEP_US) > self.max_age_us {
            Verdict::Expired
        } else {
            Verdict::Good
        }
    }
}

fn hash(keyed: &SipHasher24, told: u128) -> u128 {
    let mut hasher = *keyed;
    hasher.write(&told.to_le_bytes());
    hasher.finish128().as_u128()
}

/// A random number: the standard library's maps are seeded by the system.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The ids of one scorer.
#[derive(Debug)]
pub(crate) struct Impressions {
    key: ImpressionKey,
    start: u64,
    step: u64,
    next: u64,
}

impl Impressions {
    pub(crate) fn new(key: &ImpressionKey) -> Self {
        Self { key: key.clone(), start: random(), step: 0, next: 0 }
    }

    /// A new id for a decision of this time.
    #[inline]
    pub(crate) fn next(&mut self, time_us: i64) -> u128 {
        let step = (time_us / STEP_US).clamp(0, LAST_STEP) as u64;
        if step != self.step {
            // Time that goes back comes to steps in which there are ids from the start already.
            if step < self.step {
                self.start = crate::hash::mix(self.start ^ self.next);
            }
            (self.step, self.next) = (step, 0);
        }
        self.next += 1;
        self.key.sign(step, self.start.wrapping_add(self.next))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOW: i64 = 1_793_000_000_000_000;

    fn key(n: u128) -> ImpressionKey {
        ImpressionKey::new(Some(n), Duration::from_secs(86_400))
    }

    #[test]
    fn ids_of_the_fleet_are_good_for_their_time() {
        let mut ids = Impressions::new(&key(7));
        let other = key(7);
        let id = ids.next(NOW);
        assert_eq!(other.check(id, NOW), Verdict::Good);
        assert_eq!(other.check(id, NOW - SKEW_US), Verdict::Good);
        assert_eq!(other.check(id, NOW - SKEW_US - STEP_US), Verdict::Early);
        assert_eq!(other.check(id, NOW + 86_400_000_000), Verdict::Good);
        assert_eq!(other.check(id, NOW + 86_400_000_000 + STEP_US + 1), Verdict::Expired);
        assert_eq!(key(8).check(id, NOW), Verdict::Forged);
        for bit in 0..128 {
            assert_eq!(other.check(id ^ 1 << bit, NOW), Verdict::Forged, "bit {bit}");
        }
        // Times that have no step: none is refused, all are made.
        for time in [0, -5, i64::MIN, i64::MAX] {
            assert_ne!(ids.next(time), NO_IMPRESSION);
        }
    }

    #[test]
    fn a_million_forged_ids_are_refused() {
        let key = ImpressionKey::new(None, Duration::from_secs(86_400));
        let good = Impressions::new(&key).next(NOW);
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            u128::from(crate::hash::mix(state))
        };
        for n in 0..1_000_000_u128 {
            // Anything at all, and what is near a good id.
            let forged = if n % 2 == 0 { random() << 64 | random() } else { good ^ (n << (n % 100)) };
            assert_eq!(key.check(forged, NOW), Verdict::Forged, "{forged:x}");
        }
    }

    #[test]
    fn ids_differ_whatever_the_clock_does() {
        let key = key(7);
        let mut seen = HashSet::new();
        for _ in 0..4 {
            let mut ids = Impressions::new(&key);
            for n in 0..100_000_i64 {
                // Forwards, and now and then back.
                let time = NOW + n % 1000 * STEP_US;
                assert!(seen.insert(ids.next(time)), "{n}");
            }
        }
    }

    /// Computed by OpenSSL's SIPHASH by the rules of docs/logs.md.
    #[test]
    fn the_layout_stays() {
        let id = key(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100).sign(112_062_500, 0x3_1234_5678_9abc);
        assert_eq!(format!("{id:032x}"), "29e51a911ea4308813f6134158cf2cc1");
    }
}
