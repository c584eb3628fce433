//! A policy's text form.

use crate::named::{Named, displayed_by_name};
use std::fmt::Write;

use super::rules::{ALL_HOURS, Condition, Key};
use super::{Draw, KINDS, LIMITS, Policy, Pricing, Ties};

impl Policy {
    /// The text form with its keys in a fixed order. [`Policy::parse`] gives the same policy back.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) -> std::fmt::Result {
        let default = Self::default();
        writeln!(to, "pricing = \"{}\"", self.pricing.name())?;
        if self.ties == Ties::Hash {
            writeln!(to, "ties = \"hash\"")?;
        }
        writeln!(to, "squash = {:?}\nscore_floor_micros = {}", self.squash, self.score_floor_micros)?;
        if self.unit_micros != 1 {
            writeln!(to, "unit_micros = {}", self.unit_micros)?;
        }
        if self.refuses_parts {
            writeln!(to, "bid_rounding = \"refuse\"")?;
        }
        if !self.slot_factors.is_empty() {
            writeln!(to, "slot_factors = {:?}", self.slot_factors)?;
        }
        if self.mean_probability != default.mean_probability {
            writeln!(to, "\n[mean_probability]")?;
            for (kind, mean) in KINDS.iter().zip(self.mean_probability).skip(1) {
                writeln!(to, "{kind} = {mean:?}")?;
            }
        }
        writeln!(to, "\n[reserve_micros]")?;
        for (kind, reserve) in KINDS.iter().zip(self.reserve_micros) {
            writeln!(to, "{kind} = {reserve}")?;
        }
        if self.page != default.page {
            let page = &self.page;
            writeln!(to, "\n[page]\nmax_ads = {}\nmin_ecpm_micros = {}", page.max_ads, page.min_ecpm_micros)?;
            writeln!(to, "min_quality = {:?}", page.min_quality)?;
            for (of, limit) in LIMITS.iter().zip(page.limits) {
                writeln!(to, "per_{of} = {limit}")?;
            }
        }
        for (number, tier) in self.tiers.iter().enumerate() {
            writeln!(to, "\n[[tier]]\nname = {}\nfloor_exempt = {}", quoted(&tier.name), tier.floor_exempt)?;
            writeln!(to, "default = {}", number == usize::from(self.default_tier))?;
        }
        for (when, modifier) in &self.modifiers.all {
            writeln!(to, "\n[[modifier]]")?;
            condition(to, when)?;
            writeln!(to, "adjust = {:?}\nboost = {:?}", modifier.adjust, modifier.boost)?;
        }
        for (when, reserves) in &self.reserves.all {
            writeln!(to, "\n[[reserve]]")?;
            condition(to, when)?;
            for (kind, reserve) in KINDS.iter().zip(reserves) {
                writeln!(to, "{kind} = {reserve}")?;
            }
        }
        if let Some(cold) = self.cold_start {
            writeln!(to, "\n[cold_start]\nbonus = {:?}\nimpressions = {:?}", cold.bonus, cold.impressions)?;
        }
        if let Some(explore) = self.explore {
            writeln!(to, "\n[exploration]")?;
            match explore.draw {
                Draw::EpsilonGreedy(epsilon) => writeln!(to, "method = \"epsilon-greedy\"\nepsilon = {epsilon:?}")?,
                Draw::PlackettLuce(heat) => writeln!(to, "method = \"plackett-luce\"\ntemperature = {heat:?}")?,
            }
            writeln!(to, "pool = {}\nmax_given_up_micros = {}", explore.pool, explore.max_given_up_micros)?;
        }
        if self.pricing == Pricing::Document {
            let document = self.document;
            writeln!(to, "\n[document]\nobjective = \"{}\"", if document.conversion { "conversion" } else { "click" })?;
            writeln!(to, "reserve = {:?}\nbid_modification = {:?}", document.reserve, document.bid_modification)?;
        }
        Ok(())
    }
}

impl Pricing {
    pub(super) const ALL: [Self; 4] = [Self::Gsp, Self::Vcg, Self::First, Self::Document];
}

impl Named for Pricing {
    fn name(self) -> &'static str {
        match self {
            Self::Gsp => "gsp",
            Self::Vcg => "vcg",
            Self::First => "first",
            Self::Document => "document",
        }
    }
}

displayed_by_name!(Pricing);

fn condition(to: &mut String, when: &Condition) -> std::fmt::Result {
    let Condition { placement, device, hours, advertiser, campaign, slot } = when;
    for (name, number) in [("placement", placement), ("device", device), ("slot", slot)] {
        if let Some(number) = number {
            writeln!(to, "{name} = {number}")?;
        }
    }
    for (name, key) in [("advertiser", advertiser), ("campaign", campaign)] {
        match key {
            Some(Key::Number(number)) => writeln!(to, "{name} = {number}")?,
            Some(Key::Text(text)) => writeln!(to, "{name} = {}", quoted(text))?,
            None => {}
        }
    }
    if *hours != ALL_HOURS {
        let is_in = |hour: u32| hours >> (hour % 24) & 1 == 1;
        let first = (0..24).find(|&hour| is_in(hour) && !is_in(hour + 23)).unwrap_or(0);
        let end = (first..first + 24).find(|&hour| !is_in(hour)).unwrap_or(first);
        writeln!(to, "hours = [{first}, {}]", end % 24)?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
