//! The touches of an hour's decisions, on disk, sorted by user; and the orders that find theirs by user.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::options::Options;
use crate::orders::Order;
use crate::record::{HOUR_US, hour};
use crate::store::{Store, write_file};
use crate::touch::{Touch, TouchKind, last};

const BYTES: usize = 49;
/// Orders that look for their touches together: what bounds the touches in memory.
const ORDERS: usize = 1 << 16;

pub(crate) fn encode(touch: &Touch) -> [u8; BYTES] {
    let mut out = [0; BYTES];
    out[..8].copy_from_slice(&touch.user.to_le_bytes());
    out[8] = touch.kind as u8;
    out[9..17].copy_from_slice(&touch.time_us.to_le_bytes());
    out[17..33].copy_from_slice(&touch.id.to_le_bytes());
    out[33..41].copy_from_slice(&touch.advertiser.to_le_bytes());
    out[41..].copy_from_slice(&touch.click.to_le_bytes());
    out
}

pub(crate) fn decode(bytes: &[u8; BYTES]) -> Result<Touch> {
    let word = |at: usize| i64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    Ok(Touch {
        user: word(0),
        kind: match bytes[8] {
            0 => TouchKind::Click,
            1 => TouchKind::View,
            other => bail!("a touch of kind {other}"),
        },
        time_us: word(9),
        id: u128::from_le_bytes(std::array::from_fn(|i| bytes[17 + i])),
        advertiser: word(33),
        click: word(41),
    })
}

/// Writes touches, which are sorted here.
pub(crate) fn write(path: &Path, touches: &mut [Touch]) -> Result<()> {
    touches.sort_unstable();
    write_file(path, |out| touches.iter().try_for_each(|touch| Ok(out.write_all(&encode(touch))?)))
}

/// The touches of a file, in order.
pub(crate) fn read(path: &Path) -> Result<impl Iterator<Item = Result<Touch>> + use<>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut input = BufReader::with_capacity(1 << 18, file);
    let path = path.to_owned();
    Ok(std::iter::from_fn(move || {
        let mut bytes = [0; BYTES];
        match input.read(&mut bytes[..1]) {
            Ok(0) => None,
            Ok(_) => Some(
                input
                    .read_exact(&mut bytes[1..])
                    .map_err(Into::into)
                    .and_then(|()| decode(&bytes))
                    .with_context(|| format!("cannot read {}", path.display())),
            ),
            Err(error) => Some(Err(error).with_context(|| format!("cannot read {}", path.display()))),
        }
    }))
}

/// Users and click ids of touches that only one of two files has. Both are sorted.
pub(crate) fn changed(before: Option<&Path>, after: &Path, mut each: impl FnMut(&Touch)) -> Result<()> {
    let mut old = before.map(read).transpose()?.into_iter().flatten();
    let mut new = read(after)?;
    let (mut a, mut b) = (old.next().transpose()?, new.next().transpose()?);
    loop {
        match (&a, &b) {
            (None, None) => return Ok(()),
            (Some(x), Some(y)) if x == y => (a, b) = (old.next().transpose()?, new.next().transpose()?),
            (Some(x), y) if y.as_ref().is_none_or(|y| x < y) => {
                each(x);
                a = old.next().transpose()?;
            }
            (_, Some(y)) => {
                each(y);
                b = new.next().transpose()?;
            }
            (Some(_), None) => bail!("unreachable: an old touch comes before none"),
        }
    }
}

/// Users and clicks that orders look for.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) users: HashSet<i64>,
    pub(crate) clicks: HashSet<i64>,
}

impl Wanted {
    pub(crate) fn of<'a>(orders: impl Iterator<Item = &'a Order>) -> Self {
        let mut wanted = Self::default();
        for order in orders {
            // The click says more than the user.
            if order.click != 0 {
                wanted.clicks.insert(order.click);
            } else if order.user != 0 {
                wanted.users.insert(order.user);
            }
        }
        wanted
    }

    pub(crate) fn has(&self, touch: &Touch) -> bool {
        (touch.user != 0 && self.users.contains(&touch.user))
            || (touch.click != 0 && self.clicks.contains(&touch.click))
    }

    pub(crate) fn has_order(&self, order: &Order) -> bool {
        if order.click != 0 { self.clicks.contains(&order.click) } else { self.users.contains(&order.user) }
    }
}

/// For each order, its touch and the hour of the touch's decision.
pub(crate) fn attribute(store: &Store, options: &Options, orders: &[&Order]) -> Result<Vec<Option<(Touch, i64)>>> {
    let mut all = Vec::with_capacity(orders.len());
    for some in orders.chunks(ORDERS) {
        all.append(&mut attribute_some(store, options, some)?);
    }
    Ok(all)
}

fn attribute_some(store: &Store, options: &Options, orders: &[&Order]) -> Result<Vec<Option<(Touch, i64)>>> {
    let wanted = Wanted::of(orders.iter().copied());
    let mut of_user: HashMap<i64, Vec<(Touch, i64)>> = HashMap::new();
    let mut of_click: HashMap<i64, Vec<(Touch, i64)>> = HashMap::new();
    for (kind, window) in [(0, options.click_window_us), (1, options.view_window_us)] {
        // A touch is at most twice the age limit later than its decision, and may be a little earlier.
        let reach = window + 2 * options.age_limit_us;
        let (back, ahead) = (reach.div_euclid(HOUR_US) + 1, options.tolerance_us.div_euclid(HOUR_US) + 1);
        let at: BTreeSet<i64> = orders.iter().map(|order| hour(order.time_us)).collect();
        let hours: BTreeSet<i64> = at.iter().flat_map(|at| at - back..=at + ahead).collect();
        for (&at, state) in store.manifest.hours.iter().filter(|(at, _)| hours.contains(at)) {
            let Some(files) = &state.touches else { continue };
            for touch in read(&store.path(&files[kind]))? {
                let touch = touch?;
                if !wanted.has(&touch) {
                    continue;
                }
                if touch.user != 0 {
                    of_user.entry(touch.user).or_default().push((touch, at));
                }
                if touch.click != 0 {
                    of_click.entry(touch.click).or_default().push((touch, at));
                }
            }
        }
    }
    Ok(orders
        .iter()
        .map(|order| {
            let mine = if order.click != 0 { of_click.get(&order.click) } else { of_user.get(&order.user) };
            let mine = mine.filter(|_| order.click != 0 || order.user != 0)?;
            let touch = last(options, order, mine.iter().map(|(touch, _)| touch))?;
            mine.iter().find(|(t, _)| t == touch).copied()
        })
        .collect())
}
