//! Invalid traffic: clicks and impressions that no customer made.
//!
//! Every rule looks at the clicks of one hour of decisions alone, so that a row depends on nothing but its own hour.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::record::agent;

/// What becomes of what a rule finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing; it is not even looked for.
    Off,
    /// The row says so.
    Flag,
    /// The row weighs 0 and the click is no touch.
    Zero,
    /// The click is set aside: the row is as without it.
    Drop,
}

/// A rule: from which limit on it applies, and what then.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// What becomes of it.
    pub action: Action,
    /// The limit, in the unit that the rule's documentation says.
    pub limit: i64,
}

macro_rules! rules {
    ($($(#[doc = $says:literal])* $name:ident = $bit:literal: $action:ident $limit:literal;)*) => {
        /// All rules.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Rules { $($(#[doc = $says])* pub $name: Rule,)* }

        impl Default for Rules {
            fn default() -> Self {
                Self { $($name: Rule { action: Action::$action, limit: $limit },)* }
            }
        }

        impl Rules {
            /// The names of the rules, the bits of a row's `flags` that say that they applied, and what they say.
            pub const ALL: &'static [(&'static str, u32, &'static str)] =
                &[$((stringify!($name), 1 << $bit, concat!($($says),*)),)*];

            /// A rule by its name.
            pub fn by_name(&mut self, name: &str) -> Option<&mut Rule> {
                match name { $(stringify!($name) => Some(&mut self.$name),)* _ => None }
            }

            /// The bits of rules with this action.
            fn bits(&self, action: Action) -> u32 {
                0 $(| if self.$name.action == action { 1 << $bit } else { 0 })*
            }
        }
    };
}

rules! {
    /// The user agent says that it is a program.
    robot = 8: Zero 0;
    /// The browser fetched ahead.
    prefetch = 9: Drop 0;
    /// The user agent is a data centre, a proxy, or known to be invalid.
    data_centre = 10: Zero 0;
    /// A click sooner after its impression than this many milliseconds.
    rapid = 11: Zero 200;
    /// More clicks of one impression than this, whether told apart or the same again.
    repeated = 12: Zero 3;
    /// A click sooner after the same user's last than this many milliseconds.
    gap = 13: Zero 500;
    /// More clicks of one user in an hour than this: all of the user's rows of the hour.
    user_velocity = 14: Zero 30;
    /// More clicks of one class of addresses in an hour than this: all of its clicks.
    ip_velocity = 15: Zero 300;
    /// A stay of fewer milliseconds than this after a click.
    dwell = 16: Flag 300;
}

impl Rules {
    /// Bits whose rows weigh 0.
    #[must_use]
    pub fn zero(&self) -> u32 {
        self.bits(Action::Zero)
    }

    /// Bits whose clicks are set aside.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.bits(Action::Drop)
    }

    /// Bits that are not looked for.
    fn off(&self) -> u32 {
        self.bits(Action::Off)
    }
}

/// The bit of a rule.
#[must_use]
pub fn bit(name: &str) -> u32 {
    Rules::ALL.iter().find(|rule| rule.0 == name).map_or(0, |rule| rule.1)
}

/// What the rules look at: a click that was accepted.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// The impression.
    pub id: u128,
    /// The click's own id.
    pub click: i64,
    /// When.
    pub time_us: i64,
    /// When its impression was rendered.
    pub rendered_us: i64,
    /// The user; 0 = not known.
    pub user: i64,
    /// The class of the address; 0 = not known.
    pub ip: i64,
    /// The class of the user agent.
    pub agent: u8,
    /// How often its impression was clicked, duplicates included.
    pub times: u32,
    /// How long the user stayed, in microseconds; negative = not known.
    pub dwell_us: i64,
}

/// What the rules found in an hour.
#[derive(Debug, Default)]
pub struct Verdicts {
    clicks: HashMap<(u128, i64), u32>,
    users: HashSet<i64>,
}

impl Verdicts {
    /// The bits of a click.
    #[must_use]
    pub fn click(&self, id: u128, click: i64) -> u32 {
        self.clicks.get(&(id, click)).copied().unwrap_or(0)
    }

    /// The bits of all rows of a user.
    #[must_use]
    pub fn user(&self, user: i64) -> u32 {
        if user != 0 && self.users.contains(&user) { bit("user_velocity") } else { 0 }
    }
}

/// The bits that the class of a user agent gives, to impressions and clicks alike.
#[must_use]
pub fn of_agent(rules: &Rules, class: u8) -> u32 {
    let bits = match class {
        agent::ROBOT => bit("robot"),
        agent::PREFETCH => bit("prefetch"),
        agent::DATA_CENTRE | agent::INVALID => bit("data_centre"),
        _ => 0,
    };
    bits & !rules.off()
}

/// Judges the clicks of an hour.
#[must_use]
pub fn judge(rules: &Rules, mut clicks: Vec<Seen>) -> Verdicts {
    let off = rules.off();
    let mut found = Verdicts::default();
    let mut add = |seen: &Seen, bits: u32| {
        if bits & !off != 0 {
            *found.clicks.entry((seen.id, seen.click)).or_default() |= bits & !off;
        }
    };
    let ms = |rule: Rule| rule.limit.saturating_mul(1000);
    for seen in &clicks {
        let mut bits = of_agent(rules, seen.agent);
        if seen.time_us - seen.rendered_us < ms(rules.rapid) {
            bits |= bit("rapid");
        }
        if i64::from(seen.times) > rules.repeated.limit {
            bits |= bit("repeated");
        }
        if seen.dwell_us >= 0 && seen.dwell_us < ms(rules.dwell) {
            bits |= bit("dwell");
        }
        add(seen, bits);
    }
    let mut of_ip: HashMap<i64, i64> = HashMap::new();
    clicks.iter().filter(|seen| seen.ip != 0).for_each(|seen| *of_ip.entry(seen.ip).or_default() += 1);
    for seen in clicks.iter().filter(|seen| of_ip.get(&seen.ip).is_some_and(|&n| n > rules.ip_velocity.limit)) {
        add(seen, bit("ip_velocity"));
    }
    clicks.retain(|seen| seen.user != 0);
    clicks.sort_unstable_by_key(|seen| (seen.user, seen.time_us, seen.id, seen.click));
    for of_user in clicks.chunk_by(|a, b| a.user == b.user) {
        for pair in of_user.windows(2) {
            if pair[1].time_us - pair[0].time_us < ms(rules.gap) {
                add(&pair[1], bit("gap"));
            }
        }
        if of_user.len() as i64 > rules.user_velocity.limit && off & bit("user_velocity") == 0 {
            of_user.iter().for_each(|seen| add(seen, bit("user_velocity")));
            found.users.insert(of_user[0].user);
        }
    }
    found
}
