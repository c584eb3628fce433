//! Parts of a policy one by one, for what is not a policy's text: golden vectors, the auction verb, the C struct.

#[cfg(feature = "builder")]
use super::{Document, Pricing};
use super::{KINDS, Policy, out_of_range};
use crate::error::Result;
use crate::types::BidKind;

/// Reads and changes parts of a [`Policy`].
pub trait PolicyParts: Sized {
    /// The same policy with another squash, in (0, 1].
    ///
    /// # Errors
    /// `InvalidArgument` when it is out of range.
    fn with_squash(self, squash: f64) -> Result<Self>;

    /// The same policy with another least rank score: micros per 1000 impressions, 0 or more.
    ///
    /// # Errors
    /// `InvalidArgument` when it is out of range.
    fn with_score_floor_micros(self, score_floor_micros: i64) -> Result<Self>;

    /// The same policy with another default reserve for one kind: micros per billed event, 0 or more.
    ///
    /// # Errors
    /// `InvalidArgument` when it is out of range.
    fn with_reserve_micros(self, kind: BidKind, reserve_micros: i64) -> Result<Self>;

    /// The same policy with another billable unit: micros, 1 or more.
    ///
    /// # Errors
    /// `InvalidArgument` when it is out of range.
    fn with_unit_micros(self, unit_micros: i64) -> Result<Self>;
}

impl PolicyParts for Policy {
    fn with_squash(self, squash: f64) -> Result<Self> {
        if !(squash > 0.0 && squash <= 1.0) {
            return Err(out_of_range("squash", "a number above 0 and at most 1", squash));
        }
        let squash_scale = self.mean_probability.map(|mean| libm::pow(mean, 1.0 - squash));
        Ok(Self { squash, squash_scale, ..self })
    }

    fn with_score_floor_micros(self, score_floor_micros: i64) -> Result<Self> {
        if score_floor_micros < 0 {
            return Err(out_of_range("score_floor_micros", "0 or more", score_floor_micros));
        }
        Ok(Self { score_floor_micros, ..self })
    }

    fn with_reserve_micros(mut self, kind: BidKind, reserve_micros: i64) -> Result<Self> {
        let name = KINDS[kind as usize];
        if reserve_micros < 0 {
            return Err(out_of_range(&format!("reserve_micros.{name}"), "0 or more", reserve_micros));
        }
        self.reserve_micros[kind as usize] = reserve_micros;
        Ok(self)
    }

    fn with_unit_micros(self, unit_micros: i64) -> Result<Self> {
        if unit_micros < 1 {
            return Err(out_of_range("unit_micros", "1 or more", unit_micros));
        }
        Ok(Self { unit_micros, ..self })
    }
}

/// What only the auction verb and tests ask of a [`Policy`].
#[cfg(feature = "builder")]
pub trait PolicyDetails: Sized {
    /// The same policy with another reserve (in currency units) and bid modification (0 = 1) of [`Pricing::Document`].
    #[must_use]
    fn with_document(self, reserve: f64, bid_modification: f64) -> Self;

    /// The reserve and the bid modification of [`Pricing::Document`].
    #[must_use]
    fn document(&self) -> (f64, f64);

    /// How prices are found.
    #[must_use]
    fn pricing(&self) -> Pricing;

    /// α in `q^α`.
    #[must_use]
    fn squash(&self) -> f64;

    /// The least rank score, in micros per 1000 impressions.
    #[must_use]
    fn score_floor_micros(&self) -> i64;

    /// The reserve of candidates that have none of their own: micros per billed event.
    #[must_use]
    fn reserve_micros(&self, kind: BidKind) -> i64;

    /// The names of its tiers, the one ahead first; none when all candidates are of one.
    fn tiers(&self) -> impl Iterator<Item = &str>;
}

#[cfg(feature = "builder")]
impl PolicyDetails for Policy {
    fn with_document(self, reserve: f64, bid_modification: f64) -> Self {
        Self { document: Document { reserve, bid_modification, ..self.document }, ..self }
    }

    fn document(&self) -> (f64, f64) {
        (self.document.reserve, self.document.bid_modification)
    }

    fn pricing(&self) -> Pricing {
        self.pricing
    }

    fn squash(&self) -> f64 {
        self.squash
    }

    fn score_floor_micros(&self) -> i64 {
        self.score_floor_micros
    }

    fn reserve_micros(&self, kind: BidKind) -> i64 {
        self.reserve_micros[kind as usize]
    }

    fn tiers(&self) -> impl Iterator<Item = &str> {
        self.tiers.iter().map(|tier| tier.name.as_str())
    }
}
