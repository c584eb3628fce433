//! Amounts of money that an auction can run on: whole micros, or micros with a fraction; and whole billable units of them.

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
        /// The most whole `unit`s in it.
        fn down(self, unit: i64) -> Self;
        /// The fewest whole `unit`s that are not less.
        fn up(self, unit: i64) -> Self;
        /// The most that may be billed for a bid that is worth `worth` in billed units.
        fn at_most(worth: f64, unit: i64) -> Self;
        /// The least amount that is not under `needed`, allowing for arithmetic noise.
        fn at_least(needed: f64, unit: i64) -> Self;
        /// The least amount above `needed`, allowing for noise; for amounts without a least step, `needed` itself.
        fn above(needed: f64, unit: i64) -> Self;
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

    fn down(self, unit: i64) -> Self {
        if unit == 1 { self } else { self / unit * unit }
    }

    fn up(self, unit: i64) -> Self {
        match self % unit {
            0 => self,
            part => self.saturating_add(unit - part),
        }
    }

    fn at_most(worth: f64, unit: i64) -> Self {
        ((worth * (1.0 + NOISE)).floor() as i64).down(unit)
    }

    fn at_least(needed: f64, unit: i64) -> Self {
        ((needed * (1.0 - NOISE)).ceil() as i64).up(unit)
    }

    fn above(needed: f64, unit: i64) -> Self {
        ((needed * (1.0 + NOISE)).floor() as i64).saturating_add(1).up(unit)
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

    fn down(self, unit: i64) -> Self {
        if unit == 1 { self } else { (self / unit as f64 * (1.0 + NOISE)).floor() * unit as f64 }
    }

    fn up(self, unit: i64) -> Self {
        if unit == 1 { self } else { (self / unit as f64 * (1.0 - NOISE)).ceil() * unit as f64 }
    }

    fn at_most(worth: f64, unit: i64) -> Self {
        worth.down(unit)
    }

    fn at_least(needed: f64, unit: i64) -> Self {
        needed.up(unit)
    }

    fn above(needed: f64, unit: i64) -> Self {
        if unit == 1 { needed } else { ((needed / unit as f64 * (1.0 + NOISE)).floor() + 1.0) * unit as f64 }
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
        assert_eq!(i64::at_least(396_000.000_000_000_06, 1), 396_000);
        assert_eq!(i64::at_least(396_000.000_001, 1), 396_001);
        assert_eq!(i64::at_least(395_999.5, 1), 396_000);
        assert_eq!(i64::at_least(0.0, 1), 0);
        assert_eq!(i64::at_least(1e-9, 1), 1);
        assert_eq!(i64::above(396_000.000_000_000_06, 1), 396_001);
        assert_eq!(i64::above(395_999.999_999_999_94, 1), 396_001);
        assert_eq!(i64::above(396_000.000_001, 1), 396_001);
        assert_eq!(i64::above(395_999.5, 1), 396_000);
        assert_eq!(f64::above(396_000.25, 1), 396_000.25);
        assert_eq!(i64::at_most(4_999_999.999_999_999, 1), 5_000_000);
        assert_eq!(i64::at_most(4_999_999.999_9, 1), 4_999_999);
        // In units of a hundredth.
        assert_eq!((i64::at_most(399_999.9, 10_000), i64::at_least(390_000.5, 10_000)), (390_000, 400_000));
        assert_eq!((i64::above(400_000.0, 10_000), i64::at_least(400_000.0, 10_000)), (410_000, 400_000));
        assert_eq!((f64::above(400_000.0, 10_000), f64::at_most(399_999.9, 10_000)), (410_000.0, 390_000.0));
        assert_eq!(i64::MAX.up(10_000), i64::MAX);
        // The largest oCPM bid in billed units.
        assert_eq!(i64::at_most(MAX_BID_MICROS as f64 * 1000.0, 1) / 1_000_000_000_000_000, 9_007);
    }
}
