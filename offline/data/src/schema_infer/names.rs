//! Clues in the name of a column.

/// The words of a name in lower case: `clickTime`, `click_time` and `Click time` are `click`, `time`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(last) = words.last_mut()
        {
            last.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn any(name: &str, of: &[&str]) -> bool {
    words(name).iter().any(|word| of.contains(&word.as_str()))
}

fn last(name: &str, of: &[&str]) -> bool {
    words(name).last().is_some_and(|word| of.contains(&word.as_str()))
}

/// How strongly a name suggests a click label; 0 is no suggestion.
pub(super) fn click(name: &str) -> u8 {
    match words(name).join("_").as_str() {
        "click" | "clicked" | "is_click" | "is_clicked" | "isclick" | "clk" => 4,
        "label" | "target" | "y" | "click_label" | "has_click" | "was_clicked" | "clicks" => 3,
        "visit" | "visited" | "response" | "is_attributed" | "reward" => 2,
        _ if any(name, &["click", "clicked", "clk"]) && !is_time(name) => 1,
        _ => 0,
    }
}

/// Whether the name suggests an event after the click.
pub(super) fn conversion(name: &str) -> bool {
    let of = [
        "conversion",
        "conversions",
        "converted",
        "convert",
        "cvr",
        "attributed",
        "purchase",
        "purchased",
        "sale",
        "sales",
        "bought",
        "buy",
        "order",
        "orders",
        "install",
        "installed",
        "signup",
        "subscribed",
        "lead",
    ];
    any(name, &of)
}

/// Whether the name suggests a value known only once the ad was shown.
pub(super) fn outcome(name: &str) -> bool {
    let of = [
        "clicks",
        "ctr",
        "cvr",
        "revenue",
        "spend",
        "spent",
        "payment",
        "paid",
        "paying",
        "payprice",
        "winner",
        "won",
        "dwell",
        "viewability",
        "viewable",
        "viewed",
        "bounce",
        "reward",
    ];
    click(name) >= 2 || conversion(name) || any(name, &of)
}

pub(super) fn weight(name: &str) -> bool {
    ["weight", "w", "sample_weight", "row_weight", "importance_weight", "weights"]
        .contains(&words(name).join("_").as_str())
}

pub(super) fn is_time(name: &str) -> bool {
    any(name, &["time", "timestamp", "ts", "date", "datetime", "hour", "day", "at", "unixtime", "epoch"])
}

pub(super) fn position(name: &str) -> bool {
    last(name, &["position", "pos", "rank", "slot"])
}

/// Whether numbers in it are identifiers.
pub(super) fn id(name: &str) -> bool {
    let of = [
        "id",
        "ids",
        "uid",
        "uuid",
        "code",
        "key",
        "hash",
        "type",
        "category",
        "cat",
        "class",
        "kind",
        "zip",
        "ip",
        "device",
        "os",
        "app",
        "channel",
        "city",
        "country",
        "region",
        "state",
        "browser",
        "campaign",
        "creative",
        "publisher",
        "site",
        "domain",
        "model",
        "carrier",
        "operator",
        "operators",
        "language",
        "gender",
        "sex",
        "brand",
        "segment",
        "user",
        "ad",
        "advertiser",
        "item",
        "product",
        "page",
        "query",
        "platform",
        "connection",
        "banner",
        "version",
    ];
    // Contests name category columns C1, C2, ...
    let anonymous =
        name.strip_prefix(['C', 'c']).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    anonymous || last(name, &of)
}

/// Words for ids that are almost as many as the rows and still worth learning.
pub(super) fn keeps_rows(name: &str) -> bool {
    any(name, &["user", "uid", "ad", "advertiser", "campaign", "creative", "item", "product", "cookie", "device"])
        && id(name)
}

/// The id of a request or candidate that it holds, under its name in [keys].
pub(super) fn key(name: &str) -> Option<&'static str> {
    match words(name).join("_").as_str() {
        "user_id" | "user" | "uid" | "uuid" | "user_key" | "userid" | "cookie_id" | "device_id" => Some("user"),
        "ad_id" | "ad" | "aid" | "adid" | "ad_key" | "creative_id" | "item_id" => Some("ad"),
        "advertiser_id" | "advertiser" | "advertiser_key" => Some("advertiser"),
        "placement_id" | "placement" | "slot_id" | "position_id" => Some("placement"),
        _ => None,
    }
}

/// The side to which it probably belongs.
pub(super) fn source(name: &str) -> &'static str {
    let user = [
        "user",
        "uid",
        "uuid",
        "age",
        "gender",
        "sex",
        "income",
        "segment",
        "interest",
        "interests",
        "history",
        "recency",
        "newbie",
        "cookie",
        "visitor",
        "member",
        "customer",
        "reader",
    ];
    let ad = [
        "ad",
        "ads",
        "advertiser",
        "campaign",
        "creative",
        "item",
        "product",
        "brand",
        "bid",
        "price",
        "headline",
        "title",
        "description",
        "keyword",
        "landing",
        "eyecatcher",
    ];
    let context = [
        "site",
        "page",
        "app",
        "hour",
        "day",
        "device",
        "os",
        "ip",
        "browser",
        "placement",
        "slot",
        "channel",
        "query",
        "publisher",
        "banner",
        "position",
        "platform",
        "geo",
        "city",
        "country",
        "region",
        "zip",
        "location",
        "document",
        "domain",
        "url",
        "connection",
        "operator",
        "carrier",
        "language",
        "model",
        "exchange",
        "network",
        "telecoms",
        "display",
    ];
    let affinity = ["affinity", "similarity", "match", "cross"];
    let words = words(name);
    if words.iter().any(|w| affinity.contains(&w.as_str())) {
        return "cross";
    }
    let found = words.iter().find_map(|word| {
        let word = word.as_str();
        [("user", &user[..]), ("ad", &ad), ("context", &context)].into_iter().find(|(_, of)| of.contains(&word))
    });
    found.map_or("candidate", |(source, _)| source)
}
