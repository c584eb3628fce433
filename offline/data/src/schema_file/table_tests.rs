use adclick::builder::schema::{Binding, ColumnUse, KeyPart, Lookup, Measure};
use adclick::builder::table::ColumnKind;
use adclick::category_id;

use super::*;

const TABLES: &str = include_str!("../../../../examples/schemas/document_tables.toml");
const DOCUMENT: &str = include_str!("../../../../examples/schemas/document.toml");

fn at(table: u32, column: &str, position: Option<u16>) -> ColumnUse {
    ColumnUse { table, column: column.to_owned(), position }
}

#[test]
fn the_documents_tables_feed_its_features_and_leave_them_as_they_are() {
    let (file, plain) = (SchemaFile::parse(TABLES).unwrap(), SchemaFile::parse(DOCUMENT).unwrap());
    assert_eq!(file.schema, plain.schema, "tables change nothing of the model's inputs");
    assert_eq!(plain.enrichment, Enrichment::default());
    let names: Vec<&str> = file.enrichment.tables.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["users", "ads", "user_advertiser", "user_category"]);
    let keys: Vec<&[KeyPart]> = file.enrichment.tables.iter().map(|t| t.key.as_slice()).collect();
    let category = KeyPart::Column(at(1, "category", None));
    assert_eq!(keys[2], [KeyPart::User, KeyPart::Advertiser]);
    assert_eq!(keys[3], [KeyPart::User, category]);
    // All except the 7 features of context and time.
    assert_eq!(file.enrichment.bindings.len(), file.schema.features.len() - 7);
    let lookup = |name: &str| {
        let i = file.schema.features.iter().position(|f| f.name == name).unwrap() as u32;
        file.enrichment.bindings.iter().find(|b| b.feature == i).unwrap().lookup.clone()
    };
    assert_eq!(lookup("user_interest_embedding_1"), Lookup::Column(at(0, "interests", Some(1))));
    assert_eq!(lookup("user_category_affinity"), Lookup::Column(at(3, "affinity", None)));
    let (left, right) = (at(0, "interests", None), at(1, "text_embedding", None));
    assert_eq!(lookup("embedding_similarity"), Lookup::Similarity { left, right, measure: Measure::Dot });
    let column = |name: &str| IdColumn { column: name.to_owned(), integer: false };
    assert_eq!(file.feature_tables[3].key, [column("user_id"), column("category")]);
    let users = &file.feature_tables[0];
    assert_eq!((users.fresh_for_s, users.shards), (86_400, 1));
    let cap = users.layout.find("frequency_cap_remaining").unwrap();
    assert_eq!(users.layout.number(&users.default, cap, 0), Some(1.0));
    assert!(users.layout.is_missing(&users.default, 0));
    let keys = KeyColumns {
        user: Some(column("user_id")),
        ad: Some(column("ad_id")),
        advertiser: Some(column("advertiser_id")),
        placement: None,
    };
    assert_eq!(file.keys, keys);
}

/// One table of every type, and features that read it.
const ALL: &str = r#"
[labels]
click = "click"
[[tables]]
name = "places"
key = ["placement", "user"]
key_columns = ["slot", "uid"]
raw = ["integer", "string"]
shards = 4
columns = [
    { name = "rate", type = "f16", from = "r", default = 0.25 },
    { name = "tags", type = "u32", cap = 3, separator = "|", default = [7, 9] },
    { name = "topic", type = "u64", raw = "string", default = "news" },
    { name = "topics", type = "u64", cap = 2, raw = "integer" },
    { name = "taste", type = "vector", from = ["t0", "t1"], default = [0.5, -1] },
]
[[features]]
name = "rate"
source = "context"
kind = "number"
column = "places.rate"
[[features]]
name = "rate_bucket"
source = "user"
kind = "category"
boundaries = [0.5]
embedding = { dim = 2, count = 2 }
column = "places.taste[1]"
[[features]]
name = "topic"
source = "user"
kind = "category"
values = { news = 1.0 }
column = "places.topic"
[[features]]
name = "tags"
source = "user"
kind = "multi"
embedding = { dim = 2, vocabulary = [7, 8] }
column = "places.tags"
[[features]]
name = "taste"
source = "user"
kind = "vector"
column = "places.taste"
[[features]]
name = "bid_rank"
kind = "number"
[keys]
placement = "slot"
ad = { column = "aid", raw = "integer" }
"#;

#[test]
fn every_type_of_column_and_of_feature_that_reads_it() {
    let file = SchemaFile::parse(ALL).unwrap();
    let table = &file.feature_tables[0];
    let id = |column: &str, integer| IdColumn { column: column.to_owned(), integer };
    assert_eq!(table.key, [id("slot", true), id("uid", false)]);
    assert_eq!(table.shards, 4);
    let kinds: Vec<ColumnKind> = table.layout.columns().iter().map(|c| c.kind).collect();
    let expected = [
        ColumnKind::F16,
        ColumnKind::U32 { cap: 3 },
        ColumnKind::U64 { cap: 1 },
        ColumnKind::U64 { cap: 2 },
        ColumnKind::Vector { dim: 2 },
    ];
    assert_eq!(kinds, expected);
    assert_eq!(table.cells[0].from, ["r"]);
    assert_eq!(table.cells[4].from, ["t0", "t1"]);
    assert_eq!((table.cells[1].integer, table.cells[1].separator), (true, b'|'));
    let ids = |column: usize| table.layout.ids(&table.default, column).collect::<Vec<_>>();
    assert_eq!((ids(1), ids(2)), (vec![7, 9], vec![category_id(b"news")]));
    assert!(table.layout.is_missing(&table.default, 3));
    assert_eq!(table.layout.number(&table.default, 4, 1), Some(-1.0));
    // The column decides the form of ids and the dimension.
    assert!(!file.columns[2].integer && file.columns[3].integer);
    assert_eq!(file.schema.features[4].kind, Kind::Vector { dim: 2 });
    let bound: Vec<u32> = file.enrichment.bindings.iter().map(|b: &Binding| b.feature).collect();
    assert_eq!(bound, [0, 1, 2, 3, 4]);
    assert_eq!(file.keys.placement, Some(id("slot", true)));
    assert_eq!(file.keys.ad, Some(id("aid", true)));
    // Rows of data files need only ids and the values that no table gives.
    let message = format!("{:#}", file.data_columns().unwrap_err());
    assert!(message.contains("table `places` is looked up by the user") && message.contains("[keys]"), "{message}");
    let columns = SchemaFile { keys: KeyColumns { user: Some(id("uid", false)), ..file.keys.clone() }, ..file.clone() }
        .data_columns();
    let columns = columns.unwrap();
    let needed: Vec<&str> = columns.inputs.iter().filter(|i| !i.optional).map(|i| i.name.as_str()).collect();
    assert_eq!(needed, ["bid_rank"]);
    assert_eq!(columns.inputs.len(), file.schema.features.len());
    let keys: Vec<(&str, bool, bool)> = columns.keys.iter().map(|k| (k.column.as_str(), k.integer, k.needed)).collect();
    assert_eq!(keys, [("slot", true, true), ("uid", false, true), ("aid", true, false)], "no table needs the ad's id");
}

#[test]
fn a_key_may_name_a_column_of_a_table_below_it() {
    let text = "[[tables]]\nname='pairs'\nkey=['user','ads.brand']\ncolumns=[{name='x',type='f32'}]\n\
                [[tables]]\nname='ads'\nkey='ad'\ncolumns=[{name='brand',type='u32'}]\n\
                [[features]]\nname='x'\nsource='cross'\nkind='number'\ncolumn='pairs.x'";
    let file = SchemaFile::parse(text).unwrap();
    assert_eq!(file.enrichment.tables[0].key[1], KeyPart::Column(at(1, "brand", None)));
    assert_eq!(file.feature_tables[0].key[1], IdColumn { column: "brand".into(), integer: true });
}

/// A schema with one change.
fn refusal(from: &str, to: &str) -> String {
    assert_eq!(ALL.matches(from).count(), 1, "`{from}` must stand once in the schema");
    format!("{:#}", SchemaFile::parse(&ALL.replace(from, to)).expect_err(to))
}

#[test]
fn refusals_name_the_table_or_feature_and_the_key() {
    let cases: [(&str, &str, &[&str]); 34] = [
        ("name = \"places\"", "name = \"pl aces\"", &["table `pl aces`", "`name`", "letters"]),
        ("shards = 4", "shard = 4", &["table `places`", "unknown field `shard`"]),
        ("shards = 4", "shards = 0", &["table `places`", "`shards` = 0"]),
        ("shards = 4", "fresh_for = '1 week'", &["table `places`", "`fresh_for`", "1 week", "24h"]),
        ("key = [\"placement\", \"user\"]", "key = []", &["table `places`", "0 ids", "1 to 4"]),
        ("key = [\"placement\", \"user\"]", "key = ['user', 'user']", &["table `places`", "twice"]),
        ("key = [\"placement\", \"user\"]", "key = ['user', 'device']", &["`key` = `device`", "advertiser"]),
        ("key = [\"placement\", \"user\"]", "key = ['user', 'ads.x']", &["`ads.x`", "no table `ads`", "places"]),
        (
            "key = [\"placement\", \"user\"]",
            "key = ['user', 'places.rate']",
            &["`places.rate`", "f16", "one u32 or u64"],
        ),
        ("key = [\"placement\", \"user\"]", "key = ['user', 'places.topic']", &["`places.topic`", "whose own key"]),
        ("key_columns = [\"slot\", \"uid\"]", "key_columns = 'slot'", &["`key_columns`", "1 columns", "2 ids"]),
        ("raw = [\"integer\", \"string\"]", "raw = 'string'", &["table `places`", "placement", "integer"]),
        ("raw = [\"integer\", \"string\"]", "raw = 'text'", &["table `places`", "`raw`", "text"]),
        ("type = \"f16\", from", "type = \"f64\", from", &["column `rate`", "f64", "f32"]),
        ("from = \"r\"", "dim = 3", &["column `rate`", "`dim`", "number column", "from"]),
        ("from = \"r\"", "from = ['a', 'b']", &["column `rate`", "`from`", "2 columns"]),
        ("default = 0.25", "default = 'x'", &["column `rate`", "`default`", "string", "number"]),
        ("default = 0.25", "default = 1e9", &["column `rate`", "`default`", "fp16"]),
        ("default = [7, 9]", "default = [1, 2, 3, 4]", &["column `tags`", "4 ids, at most 3"]),
        ("default = [7, 9]", "raw = 'string'", &["column `tags`", "u64"]),
        ("cap = 3", "cap = 0", &["column `tags`", "`cap` = 0"]),
        ("separator = \"|\"", "separator = '||'", &["column `tags`", "`separator`", "one byte"]),
        ("name = \"tags\", type", "name = \"rate\", type", &["table `places`", "`rate`", "twice"]),
        ("from = [\"t0\", \"t1\"]", "dim = 0", &["column `taste`", "`dim` = 0"]),
        ("from = [\"t0\", \"t1\"]", "dim = 3, from = ['a', 'b']", &["`dim` = 3", "2 columns"]),
        ("column = \"places.rate\"", "column = 'rate'", &["feature `rate`", "TABLE.COLUMN"]),
        ("column = \"places.rate\"", "column = 'places.rates'", &["feature `rate`", "no column `rates`", "topics"]),
        (
            "column = \"places.rate\"",
            "column = 'places.tags'",
            &["feature `rate`", "up to 3 u32 ids", "a number needs"],
        ),
        ("column = \"places.taste[1]\"", "column = 'places.taste[2]'", &["feature `rate_bucket`", "2 values"]),
        ("column = \"places.taste[1]\"", "column = 'places.rate[0]'", &["feature `rate_bucket`", "only vectors"]),
        (
            "column = \"places.topic\"",
            "column = 'places.topic'\nraw = 'integer'",
            &["feature `topic`", "hashed strings"],
        ),
        (
            "column = \"places.taste\"\n",
            "column = 'places.taste'\ndim = 3\n",
            &["feature `taste`", "`dim` = 3", "vector of 2"],
        ),
        ("placement = \"slot\"", "slot = 'slot'", &["[keys]", "unknown key `slot`", "placement"]),
        ("placement = \"slot\"", "user = { column = 'u', raw = 'integer' }", &["[keys]", "`user`", "table `places`"]),
    ];
    for (from, to, needles) in cases {
        let message = refusal(from, to);
        for needle in needles {
            assert!(message.contains(needle), "`{needle}` is not in: {message}\nfor: {to}");
        }
    }
}

#[test]
fn sides_dots_and_unused_tables_are_checked() {
    let users =
        "[[tables]]\nname='users'\nkey='user'\ncolumns=[{name='v',type='vector',dim=4},{name='x',type='f32'}]\n";
    let ads = "[[tables]]\nname='ads'\nkey='ad'\ncolumns=[{name='w',type='vector',dim=3},{name='y',type='f32'}]\n";
    let feature = |rest: &str| format!("[[features]]\nname='f'\nkind='number'\n{rest}\n");
    let both = "source='dot'\nleft='users.v'\nright=";
    let cases = [
        (format!("{users}{}", feature("column='users.x'")), "table `users` gives one row for each request"),
        (format!("{ads}{}", feature("source='user'\ncolumn='ads.y'")), "one row for each candidate"),
        (format!("{users}{}", feature("source='time'\ninput='hour'\ncolumn='users.x'")), "derived"),
        (format!("{users}{}", feature("source='user'\nposition=1\ncolumn='users.x'")), "fixed value"),
        (format!("{users}{ads}{}", feature(&format!("{both}'ads.w'"))), "has 4 values and `ads.w` has 3"),
        (format!("{users}{ads}{}", feature(&format!("{both}'ads.y'"))), "`ads.y` is f32"),
        (format!("{users}{ads}{}", feature(&format!("{both}'ads.w[1]'"))), "one number"),
        (format!("{users}{ads}{}", feature("source='dot'\nleft='users.v'")), "`left` needs `right`"),
        (format!("{users}{ads}{}", feature("source='dot'\nmeasure='cosine'")), "`measure` needs"),
        (format!("{users}{ads}{}", feature(&format!("{both}'users.v'\nmeasure='l2'"))), "l2"),
        (format!("{users}{ads}{}", feature("source='user'\ncolumn='users.x'")), "table `ads` is read by no feature"),
        (format!("{users}{}", feature("left='users.v'")), "key `left` does not belong"),
        (format!("{users}{users}{}", feature("source='user'\ncolumn='users.x'")), "defined twice"),
    ];
    for (text, needle) in cases {
        let message = format!("{:#}", SchemaFile::parse(&text).expect_err(needle));
        assert!(message.contains(needle), "`{needle}` is not in: {message}\nfor:\n{text}");
    }
    let pair = "[[tables]]\nname='pairs'\nkey=['user','ad']\nraw='integer'\ncolumns=[{name='z',type='f32'}]\n";
    let text = format!(
        "{users}{pair}{}[[features]]\nname='z'\nkind='number'\nsource='cross'\ncolumn='pairs.z'",
        feature("source='user'\ncolumn='users.x'")
    );
    let message = format!("{:#}", SchemaFile::parse(&text).unwrap_err());
    assert!(
        message.contains("table `pairs`: its user ids are integers, those of table `users` are strings"),
        "{message}"
    );
    // Without vectors a dot product is still passed.
    assert!(SchemaFile::parse(&feature("source='dot'")).unwrap().enrichment.bindings.is_empty());
}
