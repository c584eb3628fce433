//! Where orders belong: the hour of the impression that they name, or that of the touch that they find by user or click.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::options::Options;
use crate::orders::Order;
use crate::record::{OrderKind, OrderRecord, hour, place, read_orders, write_orders};
use crate::route::{candidates, found_in};
use crate::store::{Store, write_file};
use crate::touch::Touch;
use crate::touches::{Wanted, attribute};

/// An order and where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) order: Order,
    /// The hour of the decision; none = not found.
    pub(crate) hour: Option<i64>,
    /// The touch that it found; an order that names its impression finds it with the impression's hour.
    pub(crate) touch: Option<Touch>,
}

impl Placed {
    pub(crate) fn named(&self) -> bool {
        self.order.impression != 0
    }
}

/// Places orders. `before`: as they were placed last; `fresh`: hours with decisions that are new; `changed`: users and
/// clicks whose touches changed. Also returns the hours whose credits changed.
pub(crate) fn place_orders(
    store: &Store,
    options: &Options,
    orders: &[Order],
    before: &[Placed],
    fresh: &BTreeSet<i64>,
    changed: &Wanted,
) -> Result<(Vec<Placed>, BTreeSet<i64>)> {
    let mut placed: Vec<Placed> = Vec::with_capacity(orders.len());
    let (mut look, mut ask) = (Vec::new(), Vec::new());
    let mut affected = BTreeSet::new();
    let mut old = before.iter().peekable();
    for order in orders {
        while let Some(gone) = old.next_if(|o| o.order < *order) {
            affected.extend(gone.hour);
        }
        let known = old.next_if(|o| o.order == *order).copied();
        let at = placed.len();
        match known {
            Some(known) if known.named() => {
                if known.hour.is_none() {
                    look.push((at, false));
                }
            }
            Some(_) => {
                if changed.has_order(order) {
                    ask.push(at);
                }
            }
            None if order.impression != 0 => look.push((at, true)),
            None => ask.push(at),
        }
        placed.push(known.unwrap_or(Placed { order: *order, hour: None, touch: None }));
    }
    affected.extend(old.filter_map(|gone| gone.hour));
    find_named(store, options, &mut placed, look, fresh, &mut affected)?;
    let asked: Vec<&Order> = ask.iter().map(|&at| &orders[at]).collect();
    for (at, found) in ask.into_iter().zip(attribute(store, options, &asked)?) {
        let after = Placed { order: orders[at], hour: found.map(|f| f.1), touch: found.map(|f| f.0) };
        if after != placed[at] {
            affected.extend(placed[at].hour);
            affected.extend(after.hour);
            placed[at] = after;
        }
    }
    Ok((placed, affected))
}

/// Finds the hours of the impressions that orders name. Orders that are not new look only at new decisions.
fn find_named(
    store: &Store,
    options: &Options,
    placed: &mut [Placed],
    look: Vec<(usize, bool)>,
    fresh: &BTreeSet<i64>,
    affected: &mut BTreeSet<i64>,
) -> Result<()> {
    let mut by_hour: BTreeMap<i64, Vec<(u64, usize)>> = BTreeMap::new();
    let reach = options.click_window_us.max(options.view_window_us) + 2 * options.age_limit_us;
    for (at, new) in look {
        let order = &placed[at].order;
        for candidate in candidates(options, hour(order.time_us), reach) {
            if store.manifest.hours.contains_key(&candidate) && (new || fresh.contains(&candidate)) {
                by_hour.entry(candidate).or_default().push((place(order.impression), at));
            }
        }
    }
    for (hour, mut wanted) in by_hour {
        wanted.retain(|&(_, at)| placed[at].hour.is_none());
        wanted.sort_unstable();
        let found = found_in(store, &store.manifest.hours[&hour].ids, &wanted)?;
        for (&(_, at), _) in wanted.iter().zip(found).filter(|(_, found)| *found) {
            placed[at].hour = Some(hour);
            affected.insert(hour);
        }
    }
    Ok(())
}

const TAIL: usize = 59;

/// Writes placed orders.
pub(crate) fn write(path: &Path, placed: &[Placed]) -> Result<()> {
    write_file(path, |out| {
        let records: Vec<OrderRecord> = placed
            .iter()
            .map(|p| {
                let Order { advertiser, order, time_us, impression, click, user, value, type_, retracted } = p.order;
                let kind = if retracted { OrderKind::Retracted } else { OrderKind::New };
                OrderRecord { advertiser, order, kind, time_us, impression, click, user, value, type_ }
            })
            .collect();
        out.write_all(&(placed.len() as u64).to_le_bytes())?;
        write_orders(out, &records)?;
        for p in placed {
            let mut tail = [0; TAIL];
            tail[0] = p.hour.is_some().into();
            tail[1..9].copy_from_slice(&p.hour.unwrap_or(0).to_le_bytes());
            if let Some(touch) = &p.touch {
                tail[9] = 1;
                tail[10..].copy_from_slice(&crate::touches::encode(touch));
            }
            out.write_all(&tail)?;
        }
        Ok(())
    })
}

/// Reads what [`write`] wrote.
pub(crate) fn read(path: &Path) -> Result<Vec<Placed>> {
    let what = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).with_context(what)?;
    let (head, rest) = bytes.split_at_checked(8).with_context(what)?;
    let n = u64::from_le_bytes(std::array::from_fn(|i| head[i]));
    let tails = usize::try_from(n)
        .ok()
        .and_then(|n| n.checked_mul(TAIL))
        .and_then(|t| rest.len().checked_sub(t))
        .with_context(what)?;
    let (records, tails) = rest.split_at(tails);
    let records = read_orders(&mut &*records).with_context(what)?;
    let (tails, _) = tails.as_chunks::<TAIL>();
    ensure!(records.len() == tails.len(), "{}: {} orders, {} places", path.display(), records.len(), tails.len());
    let placed = records.iter().zip(tails).map(|(r, tail)| {
        let OrderRecord { advertiser, order, kind, time_us, impression, click, user, value, type_ } = *r;
        let retracted = kind == OrderKind::Retracted;
        let at = i64::from_le_bytes(std::array::from_fn(|i| tail[1 + i]));
        Ok(Placed {
            order: Order { advertiser, order, time_us, impression, click, user, value, type_, retracted },
            hour: (tail[0] != 0).then_some(at),
            touch: (tail[9] != 0)
                .then(|| crate::touches::decode(&std::array::from_fn(|i| tail[10 + i])))
                .transpose()?,
        })
    });
    placed.collect::<Result<_>>().with_context(what)
}
