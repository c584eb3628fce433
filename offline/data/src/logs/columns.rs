//! The columns that are read from a file, and their contents.

/// The contents of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// A finite number; NaN is missing.
    Number,
    /// A category given as a string: its id is [`adclick::category_id`] of its bytes.
    Text,
    /// A category given as an integer, which is its own id; a negative one is taken in 64-bit two's complement.
    Integer,
    /// Several strings, separated by this byte; in Parquet a list.
    Texts(u8),
    /// Several integers, separated by this byte; in Parquet a list.
    Integers(u8),
    /// This many numbers, separated by this byte; in Parquet a list.
    Vector(u32, u8),
}

/// One raw value of a row: the name by which features refer to it, its column, and what that holds.
#[derive(Debug, Clone, PartialEq)]
pub struct InputColumn {
    /// The name that a feature's `input` refers to.
    pub name: String,
    /// The column's name in the file.
    pub column: String,
    /// Its contents.
    pub kind: InputKind,
    /// Whether files may lack the column because a table gives the value.
    pub optional: bool,
}

/// The id of a row's request or candidate that a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyId {
    /// The request's `user_key`.
    User,
    /// The candidate's `ad_key`.
    Ad,
    /// The candidate's `advertiser_key`.
    Advertiser,
    /// The request's `placement`.
    Placement,
}

/// A column with ids that tables are looked up by. An empty cell is an unknown id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    /// The id that it holds.
    pub id: KeyId,
    /// Its name in the file.
    pub column: String,
    /// Whether ids are integers (themselves); otherwise they are strings (hashed).
    pub integer: bool,
    /// A table that it looks up, for messages; empty for a key of segments alone.
    pub table: String,
    /// Whether files must have the column.
    pub needed: bool,
}

impl KeyColumn {
    /// The reason why the column is required.
    pub(super) fn needed_for(&self) -> String {
        let id = match self.id {
            KeyId::User => "user",
            KeyId::Ad => "ad",
            KeyId::Advertiser => "advertiser",
            KeyId::Placement => "placement",
        };
        if self.table.is_empty() {
            return format!(
                "the schema's [keys] say that column \"{}\" holds the {id}, by which segments are calibrated",
                self.column
            );
        }
        format!(
            "the schema's [keys] say that column \"{}\" holds the {id}, by which table `{}` is looked up",
            self.column, self.table
        )
    }
}

/// The unit of a time given as a number. ISO 8601 texts and date or timestamp columns need none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// YYMMDDHH, years 2000 to 2099.
    Hour,
    /// Seconds since 1970-01-01.
    Seconds,
    /// Milliseconds since 1970-01-01.
    Milliseconds,
    /// Microseconds since 1970-01-01.
    Microseconds,
    /// Nanoseconds since 1970-01-01.
    Nanoseconds,
}

/// Where the offset from UTC at a row's user comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZoneRule {
    /// Nothing: the offset is 0.
    Utc,
    /// One zone for all rows: an IANA name, or an offset.
    Fixed(String),
    /// A column of offsets: seconds, or as ISO 8601 writes them.
    Offsets(String),
    /// A column of IANA names.
    Names(String),
    /// The time itself, which carries its offset.
    FromTime,
}

/// The column with the time of an impression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeColumn {
    /// Its name.
    pub column: String,
    /// The unit of its numbers.
    pub format: TimeFormat,
    /// The source of the user's time zone.
    pub zone: ZoneRule,
    /// Whether a time without an offset is the user's local time rather than UTC.
    pub local: bool,
}

impl TimeColumn {
    /// The column beside it that gives the offset or the zone.
    pub(super) fn zone_column(&self) -> Option<&String> {
        match &self.zone {
            ZoneRule::Offsets(column) | ZoneRule::Names(column) => Some(column),
            ZoneRule::Utc | ZoneRule::Fixed(_) | ZoneRule::FromTime => None,
        }
    }

    /// The time zone of the hour and weekday of a model trained on this column. A server must pass times to match.
    #[must_use]
    pub fn clock(&self) -> &'static str {
        match (&self.zone, self.local) {
            (ZoneRule::Utc, false) => "UTC: requests pass utc_offset_s = 0",
            _ => "the user's own: requests pass the user's utc_offset_s",
        }
    }
}

/// The columns of a file that are read.
#[derive(Debug, Clone, PartialEq)]
pub struct LogColumns {
    /// The click label, 0 or 1.
    pub click: String,
    /// The conversion label, 0 or 1; empty while it is not known.
    pub conversion: Option<String>,
    /// The row's weight: 0 or more.
    pub weight: Option<String>,
    /// The time of the impression.
    pub time: Option<TimeColumn>,
    /// The raw values.
    pub inputs: Vec<InputColumn>,
    /// The ids that tables are looked up by; only those that tables need.
    pub keys: Vec<KeyColumn>,
}

/// Number columns of Criteo's logs.
pub const CRITEO_NUMBERS: usize = 13;
/// Category columns of Criteo's logs.
pub const CRITEO_CATEGORIES: usize = 26;

/// Avazu's columns of hexadecimal strings.
pub const AVAZU_TEXTS: [&str; 9] = [
    "site_id",
    "site_domain",
    "site_category",
    "app_id",
    "app_domain",
    "app_category",
    "device_id",
    "device_ip",
    "device_model",
];

/// Avazu's columns of integers.
pub const AVAZU_INTEGERS: [&str; 12] =
    ["C1", "banner_pos", "device_type", "device_conn_type", "C14", "C15", "C16", "C17", "C18", "C19", "C20", "C21"];

impl LogColumns {
    pub(super) fn criteo() -> Self {
        let input = |name: String, kind| InputColumn { column: name.clone(), name, kind, optional: false };
        let numbers = (1..=CRITEO_NUMBERS).map(|i| input(format!("I{i}"), InputKind::Number));
        let categories = (1..=CRITEO_CATEGORIES).map(|i| input(format!("C{i}"), InputKind::Text));
        Self {
            click: "label".to_owned(),
            conversion: None,
            weight: None,
            time: None,
            inputs: numbers.chain(categories).collect(),
            keys: Vec::new(),
        }
    }

    pub(super) fn avazu() -> Self {
        let input = |name: &&str, kind| {
            let name = (*name).to_owned();
            InputColumn { column: name.clone(), name, kind, optional: false }
        };
        let texts = AVAZU_TEXTS.iter().map(|name| input(name, InputKind::Text));
        let integers = AVAZU_INTEGERS.iter().map(|name| input(name, InputKind::Integer));
        Self {
            click: "click".to_owned(),
            conversion: None,
            weight: None,
            time: Some(TimeColumn {
                column: "hour".to_owned(),
                format: TimeFormat::Hour,
                zone: ZoneRule::Utc,
                local: false,
            }),
            inputs: texts.chain(integers).collect(),
            keys: Vec::new(),
        }
    }

    /// The index of the input with this name.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|i| i.name == name)
    }
}
