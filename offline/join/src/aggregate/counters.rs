//! Counters: what was shown, clicked and viewed, by key and hour.

use std::collections::{BTreeMap, HashMap};

/// What a counter counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Of {
    /// A user.
    User(u64),
    /// An ad.
    Ad(u64),
    /// An advertiser.
    Advertiser(u64),
    /// A user with an advertiser.
    UserAdvertiser(u64, u64),
    /// A user with a category of ads.
    UserCategory(u64, u64),
}

/// Counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Impressions.
    pub impressions: i64,
    /// Those that were clicked.
    pub clicks: i64,
    /// Those that were in view.
    pub views: i64,
}

impl Tally {
    fn add(&mut self, other: &Self, sign: i64) {
        self.impressions += sign * other.impressions;
        self.clicks += sign * other.clicks;
        self.views += sign * other.views;
    }

    /// The click rate, drawn towards `prior` as by `smoothing` more impressions.
    #[must_use]
    pub fn rate(&self, prior: f64, smoothing: f64) -> f64 {
        let all = self.impressions as f64 + smoothing;
        if all > 0.0 { (self.clicks as f64 + smoothing * prior) / all } else { prior }
    }

    /// The share of impressions that were in view; 0 without any.
    #[must_use]
    pub fn viewed(&self) -> f64 {
        if self.impressions == 0 { 0.0 } else { self.views as f64 / self.impressions as f64 }
    }
}

/// The hours of the windows that are counted: a day, seven, thirty.
pub const WINDOWS: [i64; 3] = [24, 7 * 24, 30 * 24];

/// A row, as far as counters look at it. A row that weighs nothing is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The user; 0 = not known.
    pub user: u64,
    /// The ad.
    pub ad: u64,
    /// Its advertiser; 0 = not known.
    pub advertiser: u64,
    /// Its category; 0 = not known.
    pub category: u64,
    /// The hour in which it was rendered.
    pub shown: i64,
    /// The hour in which it was clicked.
    pub clicked: Option<i64>,
    /// The hour in which it had been in view.
    pub viewed: Option<i64>,
}

impl Counted {
    fn keys(&self) -> impl Iterator<Item = Of> + use<> {
        let Self { user, ad, advertiser, category, .. } = *self;
        let known = |of, ids: &[u64]| (!ids.contains(&0)).then_some(of);
        [
            known(Of::User(user), &[user]),
            known(Of::Ad(ad), &[ad]),
            known(Of::Advertiser(advertiser), &[advertiser]),
            known(Of::UserAdvertiser(user, advertiser), &[user, advertiser]),
            known(Of::UserCategory(user, category), &[user, category]),
        ]
        .into_iter()
        .flatten()
    }
}

/// Counters by the hour in which what they count was known: an impression when it was rendered, its click when it came.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Hours(pub BTreeMap<i64, BTreeMap<Of, Tally>>);

impl Hours {
    /// Counts a row.
    pub fn count(&mut self, row: &Counted) {
        for of in row.keys() {
            self.at(row.shown, of).impressions += 1;
            if let Some(hour) = row.clicked {
                self.at(hour, of).clicks += 1;
            }
            if let Some(hour) = row.viewed {
                self.at(hour, of).views += 1;
            }
        }
    }

    fn at(&mut self, hour: i64, of: Of) -> &mut Tally {
        self.0.entry(hour).or_default().entry(of).or_default()
    }

    /// Adds all counters of another.
    pub fn merge(&mut self, other: &Self) {
        for (&hour, counters) in &other.0 {
            for (&of, tally) in counters {
                self.at(hour, of).add(tally, 1);
            }
        }
    }
}

/// The sums over each window that ends at an hour: nothing of that hour or later is in them.
#[derive(Debug, Default)]
pub struct Sums {
    until: Option<i64>,
    of: HashMap<Of, [Tally; 3]>,
    /// Of all impressions together.
    all: [Tally; 3],
}

impl Sums {
    /// Moves the ends of the windows on to an hour, which must not be earlier than before.
    pub fn advance(&mut self, hours: &Hours, until: i64) {
        let before = self.until.unwrap_or(i64::MIN / 2);
        for (window, length) in WINDOWS.iter().enumerate() {
            // What was in the window and is not any more, then what comes in.
            let (old, new) = (before - length..before, until - length..until);
            let gone = old.start..old.end.min(new.start);
            let come = new.start.max(old.end)..new.end;
            for (range, sign) in [(gone, -1), (come, 1)] {
                if range.is_empty() {
                    continue;
                }
                for (of, tally) in hours.0.range(range).flat_map(|(_, counters)| counters) {
                    self.of.entry(*of).or_default()[window].add(tally, sign);
                    if let Of::Ad(_) = of {
                        self.all[window].add(tally, sign);
                    }
                }
            }
        }
        self.of.retain(|_, tallies| *tallies != [Tally::default(); 3]);
        self.until = Some(until);
    }

    /// The sums of a key, over each window.
    #[must_use]
    pub fn get(&self, of: Of) -> [Tally; 3] {
        self.of.get(&of).copied().unwrap_or_default()
    }

    /// The click rate of all impressions of the longest window.
    #[must_use]
    pub fn prior(&self) -> f64 {
        let all = self.all[WINDOWS.len() - 1];
        if all.impressions == 0 { 0.0 } else { all.clicks as f64 / all.impressions as f64 }
    }

    /// All keys, in order, with their sums.
    #[must_use]
    pub fn sorted(&self) -> Vec<(Of, [Tally; 3])> {
        let mut all: Vec<_> = self.of.iter().map(|(of, tallies)| (*of, *tallies)).collect();
        all.sort_unstable_by_key(|(of, _)| *of);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adclick::builder::hash::mix;

    fn rows() -> Vec<Counted> {
        (0..4000u64)
            .map(|n| {
                let draw = |m: u64, k: u64| mix(n * 8 + k) % m;
                let shown = draw(45 * 24, 0) as i64;
                Counted {
                    user: draw(20, 1),
                    ad: 1 + draw(12, 2),
                    advertiser: draw(4, 3),
                    category: draw(3, 4),
                    shown,
                    clicked: (draw(5, 5) == 0).then_some(shown + draw(3, 6) as i64),
                    viewed: (draw(2, 7) == 0).then_some(shown),
                }
            })
            .collect()
    }

    /// What was known of a key before an hour, counted row by row.
    fn plainly(rows: &[Counted], of: Of, until: i64) -> [Tally; 3] {
        WINDOWS.map(|length| {
            let known = |hour: i64| (until - length..until).contains(&hour);
            let mut tally = Tally::default();
            for row in rows.iter().filter(|row| row.keys().any(|key| key == of)) {
                tally.impressions += i64::from(known(row.shown));
                tally.clicks += i64::from(row.clicked.is_some_and(known));
                tally.views += i64::from(row.viewed.is_some_and(known));
            }
            tally
        })
    }

    /// The keys whose sums hold something that was not known yet, or lack what was.
    fn leaks(rows: &[Counted], sums: &Sums, until: i64) -> usize {
        let keys: std::collections::BTreeSet<Of> = rows.iter().flat_map(Counted::keys).collect();
        keys.into_iter().filter(|&of| sums.get(of) != plainly(rows, of, until)).count()
    }

    #[test]
    fn sums_hold_what_was_known_before_their_hour_and_a_planted_leak_is_found() {
        let rows = rows();
        let mut hours = Hours::default();
        rows.iter().for_each(|row| hours.count(row));
        let mut sums = Sums::default();
        for until in [0, 1, 24, 25, 500, 720, 721, 1000, 1100, 3000] {
            sums.advance(&hours, until);
            assert_eq!(leaks(&rows, &sums, until), 0, "{until}");
        }
        // The leak: the clicks of a row are counted when it is shown, before they come.
        let mut planted = Hours::default();
        rows.iter().for_each(|row| planted.count(&Counted { clicked: row.clicked.map(|_| row.shown), ..*row }));
        let mut sums = Sums::default();
        sums.advance(&planted, 500);
        assert!(leaks(&rows, &sums, 500) > 0, "clicks before their time are not seen");
        // And: the row's own hour is in its window.
        let mut sums = Sums::default();
        sums.advance(&hours, 501);
        assert!(leaks(&rows, &sums, 500) > 0, "the hour of the request is not seen");
    }

    #[test]
    fn rates_are_drawn_towards_the_prior() {
        let tally = Tally { impressions: 80, clicks: 8, views: 40 };
        assert_eq!((tally.rate(0.02, 20.0), tally.rate(0.02, 0.0), tally.viewed()), (0.084, 0.1, 0.5));
        assert_eq!((Tally::default().rate(0.02, 20.0), Tally::default().rate(0.02, 0.0)), (0.02, 0.02));
    }
}
