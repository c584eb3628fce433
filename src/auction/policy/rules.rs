//! Rules of a policy that hold for some requests and some candidates: what they ask for, and how the right ones are found
//! without trying all.

use crate::hash::category_id;

/// The most rules of one kind.
pub(super) const MAX_RULES: usize = 1 << 16;
/// The most of them that name neither advertiser nor campaign: each request tries all of these.
pub(super) const MAX_PAGE_RULES: usize = 256;

/// A key as the policy writes it: a number, or a text that stands for its hash.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    Number(u64),
    Text(String),
}

impl Key {
    pub(super) fn id(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) => category_id(text.as_bytes()),
        }
    }
}

/// The hours of a day, a bit for each.
pub(super) const ALL_HOURS: u32 = (1 << 24) - 1;

/// What a rule asks for. What is not named is not asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) placement: Option<u32>,
    pub(super) device: Option<u32>,
    /// A bit for each hour of the user's day.
    pub(super) hours: u32,
    pub(super) advertiser: Option<Key>,
    pub(super) campaign: Option<Key>,
    pub(super) slot: Option<u32>,
}

impl Default for Condition {
    fn default() -> Self {
        Self { placement: None, device: None, hours: ALL_HOURS, advertiser: None, campaign: None, slot: None }
    }
}

/// What rules ask of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moment {
    pub(crate) placement: u32,
    pub(crate) device: u32,
    pub(crate) hour: u32,
}

impl Condition {
    fn holds(&self, moment: Moment) -> bool {
        self.placement.is_none_or(|placement| placement == moment.placement)
            && self.device.is_none_or(|device| device == moment.device)
            && self.hours >> moment.hour & 1 == 1
    }

    /// The key by which a candidate finds it.
    fn found_by(&self) -> Option<(Dimension, u64)> {
        let of = |key: &Option<Key>, dimension| key.as_ref().map(|key| (dimension, key.id()));
        of(&self.campaign, Dimension::Campaign).or_else(|| of(&self.advertiser, Dimension::Advertiser))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dimension {
    Advertiser,
    Campaign,
}

/// Rules of one kind, in the order of the policy, with an index of those that name an advertiser or a campaign.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::auction) struct Rules<T> {
    pub(super) all: Vec<(Condition, T)>,
    /// Those that name neither, nor a slot.
    page: Vec<u32>,
    /// Those that name a slot.
    slot: Vec<u32>,
    keyed: Vec<(Dimension, u64, u32)>,
}

impl<T> Default for Rules<T> {
    fn default() -> Self {
        Self { all: Vec::new(), page: Vec::new(), slot: Vec::new(), keyed: Vec::new() }
    }
}

impl<T> Rules<T> {
    /// Fails with the number of rules that every request would have to try, if it is too large.
    pub(super) fn new(all: Vec<(Condition, T)>) -> Result<Self, usize> {
        let mut rules = Self { all, ..Self::default() };
        for (number, (condition, _)) in (0..).zip(&rules.all) {
            match condition.found_by() {
                Some((dimension, key)) => rules.keyed.push((dimension, key, number)),
                None if condition.slot.is_some() => rules.slot.push(number),
                None => rules.page.push(number),
            }
        }
        rules.keyed.sort_unstable();
        match rules.page.len() + rules.slot.len() {
            n if n > MAX_PAGE_RULES => Err(n),
            _ => Ok(rules),
        }
    }

    pub(in crate::auction) fn has_keys(&self) -> bool {
        !self.keyed.is_empty()
    }

    pub(in crate::auction) fn has_slots(&self) -> bool {
        !self.slot.is_empty()
    }

    /// Those for all candidates of a request, each with its number.
    pub(in crate::auction) fn of_page(&self, moment: Moment) -> impl Iterator<Item = (u32, &T)> {
        self.listed(&self.page).filter(move |(_, condition, _)| condition.holds(moment)).map(|(n, _, rule)| (n, rule))
    }

    /// Those for all candidates in one slot.
    pub(in crate::auction) fn of_slot(&self, moment: Moment, slot: u32) -> impl Iterator<Item = (u32, &T)> {
        self.listed(&self.slot)
            .filter(move |(_, condition, _)| condition.slot == Some(slot) && condition.holds(moment))
            .map(|(n, _, rule)| (n, rule))
    }

    /// Those that name the candidate's advertiser or campaign.
    pub(in crate::auction) fn of_candidate(
        &self,
        moment: Moment,
        advertiser: u64,
        campaign: u64,
    ) -> impl Iterator<Item = (u32, &T)> {
        let keyed = [(Dimension::Advertiser, advertiser), (Dimension::Campaign, campaign)];
        keyed.into_iter().flat_map(move |(dimension, key)| {
            let first = self.keyed.partition_point(|entry| (entry.0, entry.1) < (dimension, key));
            let same = self.keyed[first..].iter().take_while(move |entry| (entry.0, entry.1) == (dimension, key));
            same.filter_map(move |&(_, _, number)| {
                let (condition, rule) = &self.all[number as usize];
                let its_advertiser = condition.advertiser.as_ref().is_none_or(|key| key.id() == advertiser);
                (its_advertiser && condition.holds(moment)).then_some((number, rule))
            })
        })
    }

    fn listed<'a>(&'a self, numbers: &'a [u32]) -> impl Iterator<Item = (u32, &'a Condition, &'a T)> {
        numbers.iter().map(|&number| {
            let (condition, rule) = &self.all[number as usize];
            (number, condition, rule)
        })
    }
}

/// What a `[[modifier]]` does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::auction) struct Modifier {
    /// Moves the bid by this share of it: 0.2 = +20%, -1 = out.
    pub(in crate::auction) adjust: f64,
    /// Multiplies the bid in ranking and divides the price.
    pub(in crate::auction) boost: f64,
}
