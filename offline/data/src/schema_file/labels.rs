//! `[labels]`: the columns of labels, weight and time.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::values::typed;
use crate::logs::{TimeColumn, TimeFormat, ZoneRule, check_zone};

/// The unit of a time column's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum TimeUnit {
    /// Seconds since 1970-01-01.
    #[default]
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanoseconds,
    /// YYMMDDHH, as in `14102100`.
    #[serde(rename = "yymmddhh")]
    Hour,
}

/// The columns that hold labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelColumns {
    /// 0 or 1.
    pub click: String,
    /// 0 or 1; empty = not known yet.
    pub conversion: Option<String>,
    /// The weight of the row.
    pub weight: Option<String>,
    /// When the impression happened.
    pub time: Option<String>,
    /// The unit of `time` where it is a number.
    #[serde(default)]
    pub time_unit: TimeUnit,
    /// The column with the user's offset from UTC; `time` itself when its times carry offsets.
    pub utc_offset: Option<String>,
    /// The column with the IANA name of the user's time zone.
    pub zone_column: Option<String>,
    /// The time zone of all users.
    pub zone: Option<String>,
    /// Whether `time` is the user's local time rather than UTC.
    #[serde(default)]
    pub local_time: bool,
}

impl LabelColumns {
    /// Reads the table.
    pub(super) fn parse(table: toml::Value) -> Result<Self> {
        let stated = ["time_unit", "utc_offset", "zone_column", "zone", "local_time"];
        let stated: Vec<&str> = stated.into_iter().filter(|key| table.get(key).is_some()).collect();
        let labels: Self = typed(table)?;
        if let (Some(key), None) = (stated.first(), &labels.time) {
            bail!("key `{key}` says how `time` is to be read, but no `time` is named");
        }
        let zones: Vec<&str> =
            stated.into_iter().filter(|key| ["utc_offset", "zone_column", "zone"].contains(key)).collect();
        ensure!(zones.len() <= 1, "keys `{}` each say where users live; allowed: one of them", zones.join("`, `"));
        if let Some(zone) = &labels.zone {
            check_zone(zone).context("key `zone`")?;
        }
        ensure!(
            labels.utc_offset.is_none() || labels.utc_offset != labels.time || !labels.local_time,
            "key `local_time`: times that carry their offset (`utc_offset` names the column of `time`) are no local ones"
        );
        Ok(labels)
    }

    /// The time column, and how it is read.
    pub(super) fn time_column(&self) -> Option<TimeColumn> {
        let column = self.time.clone()?;
        let format = match self.time_unit {
            TimeUnit::Seconds => TimeFormat::Seconds,
            TimeUnit::Milliseconds => TimeFormat::Milliseconds,
            TimeUnit::Microseconds => TimeFormat::Microseconds,
            TimeUnit::Nanoseconds => TimeFormat::Nanoseconds,
            TimeUnit::Hour => TimeFormat::Hour,
        };
        let zone = match (&self.utc_offset, &self.zone_column, &self.zone) {
            (Some(offsets), ..) if *offsets == column => ZoneRule::FromTime,
            (Some(offsets), ..) => ZoneRule::Offsets(offsets.clone()),
            (_, Some(names), _) => ZoneRule::Names(names.clone()),
            (.., Some(zone)) => ZoneRule::Fixed(zone.clone()),
            (None, None, None) => ZoneRule::Utc,
        };
        Some(TimeColumn { column, format, zone, local: self.local_time })
    }
}
