use adclick::builder::schema::{Index, Kind, Pooling, Side};
use adclick::category_id;

use super::*;

const DOCUMENT: &str = include_str!("../../../../examples/schemas/document.toml");

fn message(text: &str) -> String {
    format!("{:#}", SchemaFile::parse(text).expect_err("must be refused"))
}

#[test]
fn the_documents_features_are_29_columns() {
    let file = SchemaFile::parse(DOCUMENT).unwrap();
    let layout = file.schema.layout();
    assert_eq!(layout.width, 29);
    // User and context: 10 + 7 columns.
    assert_eq!(layout.request_width, 17);
    let placement = file.schema.features.iter().find(|f| f.name == "placement").unwrap();
    assert_eq!(placement.side(), Side::Request);
    let Kind::Category { embedding, default, .. } = &placement.kind else { panic!("placement is a category") };
    assert_eq!(*default, Some(category_id(b"feed")));
    let EmbeddingFill::Fixed { ids, rows } = &file.tables[*embedding as usize] else {
        panic!("placement has fixed values")
    };
    let expected = [("feed", 0.0), ("right_column", 1.0), ("story", 0.5)];
    assert_eq!(*ids, expected.map(|(n, _)| category_id(n.as_bytes())));
    assert_eq!(rows[1..], expected.map(|(_, v)| v));
    assert_eq!(rows[0], 0.0, "unknown placements count as 0");
}

#[test]
fn tables_are_shared_or_defined_on_the_spot() {
    let file = SchemaFile::parse(
        r#"
        [labels]
        click = "clicked"
        time = "ts"
        time_unit = "ms"
        [model]
        structure = "stacked"
        activation = ["relu", "tanh"]
        [tensors]
        "dnn.{i}.weight" = { name = "mlp.{i}.kernel", transpose = true }
        [[embeddings]]
        name = "ads"
        dim = 8
        min_count = 5
        [[features]]
        name = "ad"
        kind = "category"
        embedding = "ads"
        [[features]]
        name = "clicked_ads"
        source = "user"
        kind = "multi"
        pooling = "sum"
        separator = "|"
        embedding = "ads"
        [[features]]
        name = "age"
        source = "user"
        kind = "category"
        boundaries = [18, 25, 35]
        embedding = { count = 4, dim = 2 }
        "#,
    )
    .unwrap();
    assert_eq!(file.schema.embeddings.len(), 2);
    assert_eq!(file.unbuilt(), ["ads"]);
    assert_eq!(file.tables[0], EmbeddingFill::Built { min_count: Some(5), max_size: None });
    assert!(file.schema.embeddings[0].unknown_row && file.schema.embeddings[0].missing_row);
    assert_eq!(file.schema.embeddings[1].index, Index::Identity { count: 4 });
    assert_eq!(file.schema.features[1].kind, Kind::MultiCategory { embedding: 0, pooling: Pooling::Sum });
    assert_eq!(file.columns[1], RawColumn { integer: false, separator: "|".into() });
    assert_eq!(file.labels.unwrap().time_unit, TimeUnit::Milliseconds);
    assert_eq!(file.model.structure, Some(Structure::Stacked));
    assert_eq!(file.model.activation, [Activation::Relu, Activation::Tanh]);
    assert!(file.tensors[0].transpose);
}

#[test]
fn refusals_name_the_feature_the_key_and_what_is_allowed() {
    let cases: [(&str, &[&str]); 19] = [
        ("[[features]]\nname='a'\nkind='colour'", &["feature `a`", "colour", "number", "vector"]),
        ("[[features]]\nname='a'\nkind='number'\ncolour=1", &["feature `a`", "colour"]),
        ("[[features]]\nname='a'\nkind='number'\ndim=3", &["feature `a`", "`dim`", "transform"]),
        ("[[features]]\nkind='number'", &["features[0]", "name"]),
        ("[[features]]\nname='a'\nkind='number'\n[[features]]\nname='a'\nkind='number'", &["`a`", "twice"]),
        ("[[features]]\nname='a'\nkind='category'\nembedding='t'", &["feature `a`", "`t`", "not defined"]),
        ("[[features]]\nname='a'\nkind='category'", &["feature `a`", "`embedding`", "missing"]),
        ("[[features]]\nname='a'\nkind='vector'", &["feature `a`", "`dim`"]),
        ("[[features]]\nname='a'\nkind='vector'\ndim=0", &["feature `a`", "`dim` = 0"]),
        ("[[features]]\nname='a'\nkind='number'\ntransform={scale=0}", &["feature `a`", "transform.scale"]),
        ("[[features]]\nname='a'\nkind='number'\ntransform={clip=[2,1]}", &["feature `a`", "transform.clip"]),
        ("[[features]]\nname='a'\nkind='number'\nsource='time'\ninput='minute'", &["feature `a`", "minute", "hour"]),
        ("[[features]]\nname='a'\nkind='number'\ndefault='x'", &["feature `a`", "default", "string"]),
        (
            "[[features]]\nname='a'\nkind='category'\nembedding={dim=2,count=3}\nboundaries=[1,1]",
            &["feature `a`", "boundaries", "ascending"],
        ),
        (
            "[[features]]\nname='a'\nkind='category'\nembedding={dim=2,count=3}\nboundaries=[1]",
            &["feature `a`", "2 buckets", "count = 3"],
        ),
        (
            "[[embeddings]]\nname='t'\ndim=2\ncount=3\n[[features]]\nname='a'\nkind='number'",
            &["embedding `t`", "used by no feature"],
        ),
        (
            "[[features]]\nname='a'\nkind='category'\nembedding={dim=2,count=3,buckets=4}",
            &["feature `a`", "embedding", "more than one"],
        ),
        ("[[features]]\nname='a'\nkind='category'\nvalues={x=1.0}\ndefault='y'", &["feature `a`", "default"]),
        ("[feature]\nname='a'", &["unknown key `feature`", "features"]),
    ];
    for (text, needles) in cases {
        let message = message(text);
        for needle in needles {
            assert!(message.contains(needle), "`{needle}` is not in: {message}\nfor:\n{text}");
        }
    }
    assert!(message("").contains("no features"));
    assert!(message("[[features]\n").contains("line 1"), "syntax errors keep their line");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = SchemaFile::read(Path::new("/nowhere/schema.toml")).unwrap_err();
    assert!(format!("{error:#}").contains("/nowhere/schema.toml"));
}

#[test]
fn a_vocabulary_comes_from_the_file_or_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ids.txt"), "7\n9\n").unwrap();
    let path = folder.path().join("s.toml");
    let write = |raw: &str| {
        let text = format!(
            "[[features]]\nname='a'\nkind='category'\nraw='{raw}'\nembedding={{dim=2,vocabulary_file='ids.txt'}}\n\
             [[features]]\nname='b'\nkind='category'\nembedding={{dim=2,vocabulary=['x','y']}}"
        );
        std::fs::write(&path, text).unwrap();
        SchemaFile::read(&path).unwrap().tables
    };
    let strings = EmbeddingFill::Given(vec![category_id(b"x"), category_id(b"y")]);
    assert_eq!(write("integer"), [EmbeddingFill::Given(vec![7, 9]), strings.clone()]);
    assert_eq!(write("string"), [EmbeddingFill::Given(vec![category_id(b"7"), category_id(b"9")]), strings]);
}

#[test]
fn integer_ids_of_the_schema_are_those_of_data_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ids.txt"), "\u{feff}7\r\n-1\r\n2.0\r\n").unwrap();
    let path = folder.path().join("s.toml");
    let text = "[[features]]\nname='a'\nkind='category'\nraw='integer'\ndefault=-1\n\
                embedding={dim=2,vocabulary_file='ids.txt'}\n\
                [[features]]\nname='b'\nkind='category'\nraw='integer'\nvalues={-1=0.5,3=1.0}";
    std::fs::write(&path, text).unwrap();
    let file = SchemaFile::read(&path).unwrap();
    assert_eq!(file.tables[0], EmbeddingFill::Given(vec![7, u64::MAX, 2]));
    let Kind::Category { default, .. } = file.schema.features[0].kind else { panic!("no category") };
    assert_eq!(default, Some(u64::MAX));
    let EmbeddingFill::Fixed { ids, .. } = &file.tables[1] else { panic!("no fixed values") };
    assert_eq!(*ids, [u64::MAX, 3]);
}
