//! Switches: ads, campaigns and advertisers that are off between bundles, with the reason.
//!
//! **Readers** take no lock and look at two cache lines for each key, at none while nothing of its kind is off. A switch is seen
//! by everything that starts after the call returned.
//!
//! **Bounds.** For each kind there are twice as many places as keys, in sets of eight, and a key belongs to two sets. A key goes
//! to the emptier one and never moves, so that a reader cannot miss it. A switch for which there is no room is refused: none is
//! ever forgotten. The first switch of a kind takes the memory of the kind: an engine without switches has none.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::{Error, Result, Status};
use crate::hash::mix;
use crate::memory::untouched;
use crate::types::Candidate;

/// What a switch is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum SwitchKind {
    /// An ad, by its key.
    Ad = 0,
    /// A campaign, by its key.
    Campaign = 1,
    /// An advertiser, by its key.
    Advertiser = 2,
}

impl SwitchKind {
    /// Each with its name in errors and metrics.
    pub(crate) const ALL: [(Self, &'static str); 3] =
        [(Self::Ad, "ad"), (Self::Campaign, "campaign"), (Self::Advertiser, "advertiser")];
}

/// Places of a set: their keys are one cache line.
const WAYS: usize = 8;

#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

fn sets(n: usize) -> Result<Box<[Set]>> {
    let mut all = crate::memory::reserved(n)?;
    all.resize_with(n, || Set([const { AtomicU64::new(0) }; WAYS]));
    Ok(all.into_boxed_slice())
}

/// The places of one kind.
struct Places {
    /// 0 is an empty place.
    sets: Box<[Set]>,
    /// Why, place by place. Only writers and inspection read it.
    reasons: Box<[AtomicU32]>,
}

/// The keys of one kind that are off.
#[derive(Default)]
struct Off {
    places: OnceLock<Places>,
    len: AtomicU32,
}

impl Places {
    fn new(keys: usize) -> Result<Self> {
        let n = (2 * keys).div_ceil(WAYS).max(2);
        Ok(Self { sets: sets(n)?, reasons: untouched(n * WAYS)? })
    }

    /// The two sets of a key, which may be the same.
    #[inline]
    fn sets_of(&self, key: u64) -> [usize; 2] {
        let (hash, n) = (mix(key), self.sets.len() as u64);
        [hash & 0xffff_ffff, hash >> 32].map(|half| ((half * n) >> 32) as usize)
    }

    /// The place of a key that is off.
    #[inline]
    fn find(&self, key: u64) -> Option<usize> {
        self.sets_of(key).into_iter().find_map(|set| {
            // Relaxed: a caller that starts after a switch sees it, because of what told it to start.
            let way = self.sets[set].0.iter().position(|place| place.load(Ordering::Relaxed) == key)?;
            Some(set * WAYS + way)
        })
    }

    fn place(&self, at: usize) -> &AtomicU64 {
        &self.sets[at / WAYS].0[at % WAYS]
    }

    /// An empty place for a key, in the emptier one of its sets.
    fn free(&self, key: u64) -> Option<usize> {
        let free = |set: usize| self.sets[set].0.iter().filter(|place| place.load(Ordering::Relaxed) == 0).count();
        let [a, b] = self.sets_of(key);
        let set = if free(a) >= free(b) { a } else { b };
        let way = self.sets[set].0.iter().position(|place| place.load(Ordering::Relaxed) == 0)?;
        Some(set * WAYS + way)
    }
}

impl Off {
    #[inline]
    fn holds(&self, key: u64) -> bool {
        key != 0
            && self.len.load(Ordering::Relaxed) != 0
            && self.places.get().is_some_and(|places| places.find(key).is_some())
    }

    /// Why a key is off; 0: it is on.
    fn reason(&self, key: u64) -> u32 {
        let found =
            self.places.get().and_then(|places| Some(places.reasons[places.find(key)?].load(Ordering::Relaxed)));
        found.unwrap_or(0)
    }

    /// Puts a key in. Only one thread at a time. False: there is no room.
    ///
    /// # Errors
    /// `CapacityExceeded` when the system refuses the memory of the first key.
    fn put(&self, key: u64, reason: u32, most: usize) -> Result<bool> {
        let places = match self.places.get() {
            Some(places) => places,
            None => {
                let places = Places::new(most)?;
                self.places.get_or_init(|| places)
            }
        };
        if let Some(at) = places.find(key) {
            places.reasons[at].store(reason, Ordering::Relaxed);
            return Ok(true);
        }
        let len = self.len.load(Ordering::Relaxed);
        let Some(at) = places.free(key).filter(|_| (len as usize) < most) else { return Ok(false) };
        places.reasons[at].store(reason, Ordering::Relaxed);
        // First the count, which lets readers look for keys.
        self.len.store(len + 1, Ordering::Relaxed);
        places.place(at).store(key, Ordering::Release);
        Ok(true)
    }

    /// Takes a key out. Only one thread at a time.
    fn take(&self, key: u64) {
        let Some(places) = self.places.get() else { return };
        if let Some(at) = places.find(key) {
            places.place(at).store(0, Ordering::Release);
            self.len.store(self.len.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        }
    }
}

/// The switches of an engine. Shared by all threads.
pub struct Switches {
    /// By the number of the kind.
    off: [Off; 3],
    keys: usize,
    /// Switches so far that turned something off.
    turned_off: AtomicU64,
    writing: Mutex<()>,
}

impl std::fmt::Debug for Switches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switches").field("off", &self.counts()).field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Switches {
    /// Room for `keys` of each kind, 24 bytes for each, which the first switch of the kind takes.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self { off: Default::default(), keys, turned_off: AtomicU64::new(0), writing: Mutex::new(()) }
    }

    /// Turns something off for a reason of the caller's, or on with the reason 0. Everything that starts afterwards sees it.
    ///
    /// # Errors
    /// `InvalidArgument` for key 0, `CapacityExceeded` when there is no room: then nothing was switched.
    pub fn set(&self, kind: SwitchKind, key: u64, reason: u32) -> Result<()> {
        if key == 0 {
            return Err(Error::argument("a switch of key 0, which stands for none"));
        }
        let off = &self.off[kind as usize];
        // Writers exclude each other; the tables are valid at every point where a panic could happen.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if reason == 0 {
            off.take(key);
            return Ok(());
        }
        if !off.put(key, reason, self.keys)? {
            let (name, len) = (SwitchKind::ALL[kind as usize].1, off.len.load(Ordering::Relaxed));
            return Err(Error::new(
                Status::CapacityExceeded,
                format!(
                    "{len} switches of kind {name} are off and there is room for {}: {key} stays on; turn others on, or open \
                     the engine with more switch_keys",
                    self.keys
                ),
            ));
        }
        self.turned_off.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Why something is off; 0: it is on.
    #[must_use]
    pub fn get(&self, kind: SwitchKind, key: u64) -> u32 {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if key == 0 { 0 } else { self.off[kind as usize].reason(key) }
    }

    /// Whether a candidate's ad, campaign or advertiser is off. No lock, no allocation.
    #[inline]
    #[must_use]
    pub fn is_off(&self, candidate: &Candidate) -> bool {
        let [ads, campaigns, advertisers] = &self.off;
        ads.holds(candidate.ad_key)
            || campaigns.holds(candidate.campaign_key)
            || advertisers.holds(candidate.advertiser_key)
    }

    /// Changes whenever something was turned off.
    #[must_use]
    pub fn turned_off(&self) -> u64 {
        self.turned_off.load(Ordering::Acquire)
    }

    /// Whether nothing is off.
    #[must_use]
    pub fn all_on(&self) -> bool {
        self.counts() == [0; 3]
    }

    /// How many of each kind are off.
    #[must_use]
    pub fn counts(&self) -> [u32; 3] {
        self.off.each_ref().map(|off| off.len.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [SwitchKind; 3] = [SwitchKind::Ad, SwitchKind::Campaign, SwitchKind::Advertiser];

    fn of(kind: SwitchKind, key: u64) -> Candidate {
        let mut candidate = Candidate { ad_key: 1, campaign_key: 2, advertiser_key: 3, ..Candidate::default() };
        match kind {
            SwitchKind::Ad => candidate.ad_key = key,
            SwitchKind::Campaign => candidate.campaign_key = key,
            SwitchKind::Advertiser => candidate.advertiser_key = key,
        }
        candidate
    }

    #[test]
    fn what_is_off_is_what_was_turned_off_last() {
        let switches = Switches::new(300);
        let mut expected = std::collections::HashMap::new();
        let mut state = 0u64;
        for step in 0..60_000u32 {
            state = mix(state + 1);
            let (kind, key) = (KINDS[(state % 3) as usize], 10 + (state >> 8) % 250);
            let reason = if state >> 40 & 1 == 0 { 0 } else { step + 1 };
            switches.set(kind, key, reason).unwrap();
            expected.insert((kind, key), reason);
            let probe = (KINDS[(state >> 20) as usize % 3], 10 + (state >> 44) % 250);
            let reason = expected.get(&probe).copied().unwrap_or(0);
            assert_eq!(switches.get(probe.0, probe.1), reason);
            assert_eq!(switches.is_off(&of(probe.0, probe.1)), reason != 0);
        }
        let off = |kind| expected.iter().filter(|(of, reason)| of.0 == kind && **reason != 0).count() as u32;
        assert_eq!(switches.counts(), KINDS.map(off));
        assert!(!switches.is_off(&Candidate::default()), "key 0 is nobody's");
    }

    #[test]
    fn a_full_table_refuses_and_forgets_nothing() {
        for keys in [1, 5, 100, 5000] {
            let switches = Switches::new(keys);
            for key in 1..=keys as u64 {
                switches.set(SwitchKind::Campaign, key, 7).unwrap();
            }
            let error = switches.set(SwitchKind::Campaign, u64::MAX, 7).unwrap_err();
            assert_eq!(error.status, Status::CapacityExceeded);
            assert!(error.message.contains("campaign") && error.message.contains("switch_keys"), "{}", error.message);
            assert!((1..=keys as u64).all(|key| switches.is_off(&of(SwitchKind::Campaign, key))));
            // What is off already takes another reason, and the other kinds have room of their own.
            switches.set(SwitchKind::Campaign, 1, 8).unwrap();
            assert_eq!(switches.get(SwitchKind::Campaign, 1), 8);
            switches.set(SwitchKind::Ad, u64::MAX, 7).unwrap();
            switches.set(SwitchKind::Campaign, 1, 0).unwrap();
            switches.set(SwitchKind::Campaign, u64::MAX, 7).unwrap();
            assert!(switches.is_off(&of(SwitchKind::Campaign, u64::MAX)));
        }
        assert!(Switches::new(0).set(SwitchKind::Ad, 1, 1).is_err());
        assert_eq!(Switches::new(1).set(SwitchKind::Ad, 0, 1).unwrap_err().status, Status::InvalidArgument);
    }
}
