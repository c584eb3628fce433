//! Billing single impressions at prices per 1000.

/// Carries what a bill of single impressions leaves over, so that nothing is lost: a price per 1000 impressions is rarely a whole
/// number of micros for one. Keep one for each account that is billed.
///
/// ```
/// use adclick::auction::Carry;
///
/// let mut carry = Carry::default();
/// let billed: i64 = (0..1000).map(|_| carry.bill(1_999_999)).sum();
/// assert_eq!(billed, 1_999_999); // cut each time, it would be 1,999,000
///
/// carry.bill(1_250);
/// assert_eq!(Carry(carry.0).bill(1_750), 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carry(
    /// What is left over, in thousandths of a micro: what to store. What is above 999 counts as whole micros with the next bill.
    pub u32,
);

impl Carry {
    /// What to bill for one impression at this price per 1000, in micros. 0 for a price under 0.
    pub fn bill(&mut self, price_micros: i64) -> i64 {
        if price_micros < 0 {
            return 0;
        }
        let thousandths = i64::from(self.0) + price_micros % 1000;
        self.0 = (thousandths % 1000) as u32;
        price_micros / 1000 + thousandths / 1000
    }
}
