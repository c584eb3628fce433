//! Amounts of money that an auction can run on: whole micros, or micros with a fraction.

use super::Reason;

/// The largest bid in whole micros: 2^53, about 9.007 billion currency units. Up to there f64 holds every amount
/// exactly, and an oCPM bid in billed units, at most 1000 times as large, fits an `i64`.
pub const MAX_BID_MICROS: i64 = 1 << 53;

/// Rounding errors of a few f64 operations on each side of a comparison, with room to spare.
const NOISE: f64 = 16.0 * f64::EPSILON;

/// An amount in micros (millionths of the currency unit): `i64` for money that is billed, `f64` for amounts with
/// fractions of a micro, where nothing is rounded.
pub trait Amount: Copy + PartialOrd + Default + std::fmt::Debug + sealed::Sealed {}

impl Amount for i64 {}
impl Amount for f64 {}

pub(super) mod sealed {
    use super::Reason;

    pub trait Sealed: Sized {
        /// The bid as f64, exactly; or the reason why it cannot win.
        fn bid(self) -> Result<f64, Reason>;
        /// Whether the amount is a valid reserve.
        fn can_be_reserve(self) -> bool;
        /// The nearest f64.
        fn to_f64(self) -> f64;
        /// The most that may be billed for a bid that is worth `worth` in billed units.
        fn at_most(worth: f64) -> Self;
        /// The least amount that is not under `needed`, allowing for arithmetic noise.
        fn at_least(needed: f64) -> Self;
        /// The least amount above `needed`, allowing for noise; for amounts without a least step, `needed` itself.
        fn above(needed: f64) -> Self;
    }
}

impl sealed::Sealed for i64 {
    fn bid(self) -> Result<f64, Reason> {
        match self {
            i64::MIN..=0 => Err(Reason::InvalidBid),
            1..=MAX_BID_MICROS => Ok(self as f64),
            _ => Err(Reason::BidTooLarge),
        }
    }

    fn can_be_reserve(self) -> bool {
        self >= 0
    }

    fn to_f64(self) -> f64 {
        self as f64
    }

    fn at_most(worth: f64) -> Self {
        (worth * (1.0 + NOISE)).floor() as i64
    }

    fn at_least(needed: f64) -> Self {
        (needed * (1.0 - NOISE)).ceil() as i64
    }

    fn above(needed: f64) -> Self {
        (needed * (1.0 + NOISE)).floor() as i64 + 1
    }
}

impl sealed::Sealed for f64 {
    fn bid(self) -> Result<f64, Reason> {
        if self > 0.0 && self.is_finite() { Ok(self) } else { Err(Reason::InvalidBid) }
    }

    fn can_be_reserve(self) -> bool {
        self >= 0.0 && self.is_finite()
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn at_most(worth: f64) -> Self {
        worth
    }

    fn at_least(needed: f64) -> Self {
        needed
    }

    fn above(needed: f64) -> Self {
        needed
    }
}

#[cfg(test)]
mod tests {
    use super::sealed::Sealed;
    use super::*;

    #[test]
    fn bids_up_to_the_limit_are_exact_and_beyond_it_refused() {
        assert_eq!(MAX_BID_MICROS.bid(), Ok(9_007_199_254_740_992.0));
        assert_eq!((MAX_BID_MICROS + 1).bid(), Err(Reason::BidTooLarge));
        assert_eq!(i64::MAX.bid(), Err(Reason::BidTooLarge));
        for bid in [0, -1, i64::MIN] {
            assert_eq!(bid.bid(), Err(Reason::InvalidBid));
        }
        for bid in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(bid.bid(), Err(Reason::InvalidBid), "{bid}");
        }
    }

    #[test]
    fn rounding_up_ignores_noise_and_nothing_else() {
        assert_eq!(i64::at_least(396_000.000_000_000_06), 396_000);
        assert_eq!(i64::at_least(396_000.000_001), 396_001);
        assert_eq!(i64::at_least(395_999.5), 396_000);
        assert_eq!(i64::at_least(0.0), 0);
        assert_eq!(i64::at_least(1e-9), 1);
        assert_eq!(i64::above(396_000.000_000_000_06), 396_001);
        assert_eq!(i64::above(395_999.999_999_999_94), 396_001);
        assert_eq!(i64::above(396_000.000_001), 396_001);
        assert_eq!(i64::above(395_999.5), 396_000);
        assert_eq!(f64::above(396_000.25), 396_000.25);
        assert_eq!(i64::at_most(4_999_999.999_999_999), 5_000_000);
        assert_eq!(i64::at_most(4_999_999.999_9), 4_999_999);
        // The largest oCPM bid in billed units.
        assert_eq!(i64::at_most(MAX_BID_MICROS as f64 * 1000.0) / 1_000_000_000_000_000, 9_007);
    }
}
