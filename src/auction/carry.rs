//! Billing single impressions at prices per 1000.

/// Carries what a bill of single impressions leaves over, so that nothing is lost: a price per 1000 impressions is rarely a whole
/// number of micros for one. Keep one for each account that is billed; it is a number under 1000.
///
/// In other languages: `carry += price_micros; billed = carry / 1000; carry %= 1000`.
///
/// ```
/// use adclick::auction::Carry;
///
/// let mut carry = Carry::default();
/// let billed: i64 = (0..1000).map(|_| carry.bill(1_999_999)).sum();
/// assert_eq!(billed, 1_999_999); // cut each time, it would be 1,999,000
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carry(i64);

impl Carry {
    /// What to bill for one impression at this price per 1000, in micros. 0 for a price under 0.
    pub fn bill(&mut self, price_micros: i64) -> i64 {
        let price = price_micros.max(0);
        let thousandths = self.0 + price % 1000;
        self.0 = thousandths % 1000;
        price / 1000 + thousandths / 1000
    }
}
