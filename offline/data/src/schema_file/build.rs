//! Builds a checked schema from the parsed file.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use adclick::builder::hash::checksum;
use adclick::builder::schema::{
    Binding, Embedding, Feature, Index, Kind, Lookup, Pooling, Schema, Source, TIME_INPUTS, Transform,
};
use adclick::category_id;
use anyhow::{Context, Result, anyhow, bail, ensure};

use super::options::{mappings, model};
use super::tables::FeatureTables;
use super::values::{id, list, name_of, typed};
use super::{EmbeddingFill, KeyColumns, LabelColumns, ModelOptions, RawColumn, SchemaFile, binding, raw};
use crate::cells::Scalar;
use crate::files::read_file;

/// The most columns of one feature or table.
const MAX_DIM: u32 = 65_536;

pub(super) fn build(text: &str, directory: &Path) -> Result<SchemaFile> {
    let mut file: toml::Table = text.parse().map_err(|e: toml::de::Error| anyhow!("not valid TOML: {e}"))?;
    if let Some(key) = file.keys().find(|k| !raw::TOP.contains(&k.as_str())) {
        bail!("unknown key `{key}`; allowed: {}", list(&raw::TOP));
    }
    let feature_tables = FeatureTables::parse(tables(&mut file, "tables")?)?;
    let mut builder =
        Builder { directory, embeddings: Vec::new(), tables: Vec::new(), wide: Vec::new(), feature_tables };
    for (i, table) in tables(&mut file, "embeddings")?.into_iter().enumerate() {
        let name = name_of(&table);
        let place = || name.map_or(format!("embeddings[{i}]"), |n| format!("embedding `{n}`"));
        let embedding: raw::Embedding = typed(table.clone().into()).with_context(place)?;
        let name = embedding.name.clone().ok_or_else(|| anyhow!("embeddings[{i}] has no `name`"))?;
        builder.table(name, embedding, false).with_context(place)?;
    }
    let features = tables(&mut file, "features")?;
    ensure!(!features.is_empty(), "no features: at least one [[features]] table is needed");
    let mut schema = Schema::default();
    let mut columns = Vec::new();
    let mut bindings = Vec::new();
    let mut names = BTreeSet::new();
    for (i, table) in features.into_iter().enumerate() {
        let name = name_of(&table).map(str::to_owned);
        let place = || name.as_ref().map_or(format!("features[{i}]"), |n| format!("feature `{n}`"));
        let (feature, column, lookup) = builder.feature(table).with_context(place)?;
        ensure!(names.insert(feature.name.clone()), "feature `{}` is defined twice", feature.name);
        schema.features.push(feature);
        columns.push(column);
        bindings.extend(lookup.map(|lookup| Binding { feature: i as u32, lookup }));
    }
    builder.check_use(&schema)?;
    schema.embeddings = builder.embeddings;
    let FeatureTables { files: feature_tables, mut enrichment } = builder.feature_tables;
    enrichment.bindings = bindings;
    let keys = match file.remove("keys") {
        Some(table) => KeyColumns::parse(table, &enrichment, &feature_tables).context("[keys]")?,
        None => KeyColumns::default(),
    };
    let labels = file.remove("labels").map(LabelColumns::parse).transpose().context("[labels]")?;
    let model = match file.remove("model") {
        Some(table) => model(table).context("[model]")?,
        None => ModelOptions::default(),
    };
    let tensors = match file.remove("tensors") {
        Some(table) => mappings(table).context("[tensors]")?,
        None => Vec::new(),
    };
    // The core's checks of every schema; an unbuilt vocabulary gets a temporary size.
    let mut whole = schema.clone();
    for e in &mut whole.embeddings {
        if e.index == (Index::Vocabulary { count: 0 }) {
            e.index = Index::Vocabulary { count: 1 };
        }
    }
    whole.validate()?;
    enrichment.validate(&whole)?;
    let Builder { tables, wide, .. } = builder;
    let xxh3 = checksum(text.as_bytes());
    Ok(SchemaFile { schema, columns, tables, wide, enrichment, feature_tables, keys, labels, model, tensors, xxh3 })
}

struct Builder<'a> {
    directory: &'a Path,
    embeddings: Vec<Embedding>,
    tables: Vec<EmbeddingFill>,
    wide: Vec<Option<bool>>,
    feature_tables: FeatureTables,
}

impl Builder<'_> {
    fn feature(&mut self, table: toml::Table) -> Result<(Feature, RawColumn, Option<Lookup>)> {
        let keys: Vec<String> = table.keys().cloned().collect();
        let mut raw: raw::Feature = typed(table.into())?;
        let (kind_name, allowed): (_, &[&str]) = match raw.kind {
            raw::Kind::Number => ("number", &raw::NUMBER),
            raw::Kind::Category if raw.values.is_some() => ("category with fixed values", &raw::VALUES),
            raw::Kind::Category => ("category", &raw::CATEGORY),
            raw::Kind::Multi => ("multi", &raw::MULTI),
            raw::Kind::Vector => ("vector", &raw::VECTOR),
        };
        let source = source(raw.source);
        let dot: &[&str] = if source == Source::Dot { &raw::DOT } else { &[] };
        let allowed = [&raw::COMMON[..], allowed, dot].concat();
        for key in &keys {
            ensure!(
                allowed.contains(&key.as_str()),
                "key `{key}` does not belong to a {kind_name}; allowed: {}",
                list(&allowed)
            );
        }
        ensure!(!raw.name.is_empty(), "key `name` is empty");
        let input = raw.input.clone().unwrap_or_else(|| raw.name.clone());
        if source == Source::Time {
            ensure!(
                TIME_INPUTS.contains(&input.as_str()),
                "key `input` = `{input}` is not derived from the time; allowed: {}",
                list(&TIME_INPUTS)
            );
            ensure!(
                matches!(raw.kind, raw::Kind::Number | raw::Kind::Category),
                "source `time` gives a number or a category, not a {kind_name}"
            );
        }
        if source == Source::Dot {
            ensure!(raw.kind == raw::Kind::Number, "source `dot` gives a number, not a {kind_name}");
        }
        if let Some(position) = raw.position {
            ensure!(position.is_finite(), "key `position` = {position} is not finite");
        }
        let lookup = binding::lookup(&mut raw, source, &self.feature_tables)?;
        // Integers are used as they are: a bucket number or an hour is its own id.
        let integer = raw.raw == Some(raw::IdKind::Integer) || !raw.boundaries.is_empty() || source == Source::Time;
        let separator = raw.separator.clone().unwrap_or_else(|| " ".into());
        ensure!(!separator.is_empty(), "key `separator` is empty");
        let position = raw.position;
        let name = raw.name.clone();
        let kind = match raw.kind {
            raw::Kind::Number => number(&raw)?,
            raw::Kind::Category if raw.values.is_some() => self.fixed(raw, integer)?,
            raw::Kind::Category => self.category(raw, integer)?,
            raw::Kind::Multi => {
                let pooling = match raw.pooling {
                    raw::Pooling::Mean => Pooling::Mean,
                    raw::Pooling::Sum => Pooling::Sum,
                };
                let embedding = self.embedding_of(&raw, integer)?;
                Kind::MultiCategory { embedding, pooling }
            }
            raw::Kind::Vector => {
                let dim = raw.dim.ok_or_else(|| anyhow!("a vector needs the key `dim`, its number of columns"))?;
                ensure!((1..=MAX_DIM).contains(&dim), "key `dim` = {dim}; allowed: 1 to {MAX_DIM}");
                Kind::Vector { dim }
            }
        };
        Ok((Feature { name, input, source, kind, position }, RawColumn { integer, separator }, lookup))
    }

    fn category(&mut self, raw: raw::Feature, integer: bool) -> Result<Kind> {
        let embedding = self.embedding_of(&raw, integer)?;
        let default = raw.default.as_ref().map(|v| id(v, integer)).transpose().context("key `default`")?;
        let boundaries = raw.boundaries;
        if !boundaries.is_empty() {
            ensure!(
                boundaries.iter().all(|b| b.is_finite()) && boundaries.windows(2).all(|w| w[0] < w[1]),
                "key `boundaries` must be finite and ascending"
            );
            let table = &self.embeddings[embedding as usize];
            let buckets = boundaries.len() as u32 + 1;
            ensure!(
                default.is_none(),
                "key `default` does not belong to a category with boundaries: give the embedding missing_row = true"
            );
            let Index::Identity { count } = table.index else {
                bail!(
                    "{buckets} buckets need an embedding with count = {buckets}; `{}` is indexed otherwise",
                    table.name
                );
            };
            ensure!(
                count == buckets,
                "{} boundaries make {buckets} buckets, but embedding `{}` has count = {count}",
                boundaries.len(),
                table.name
            );
        }
        let table = &self.embeddings[embedding as usize];
        if let (Index::Identity { count }, Some(id)) = (table.index, default) {
            ensure!(
                id < u64::from(count),
                "key `default` = {id} is outside embedding `{}` (count = {count})",
                table.name
            );
        }
        Ok(Kind::Category { embedding, boundaries, default })
    }

    /// A category whose values are given in the schema: a one-column table that is never trained.
    fn fixed(&mut self, raw: raw::Feature, integer: bool) -> Result<Kind> {
        let values = raw.values.unwrap_or_default();
        ensure!(!values.is_empty(), "key `values` is empty");
        let unknown = raw.unknown_value.unwrap_or(0.0);
        let mut ids = Vec::with_capacity(values.len());
        let mut rows = vec![unknown];
        for (text, &value) in &values {
            let parsed = if integer {
                let id = Scalar::from(text.as_bytes()).integer_id();
                id.ok_or_else(|| anyhow!("key `values`: `{text}` is not an integer, but raw = \"integer\""))?
            } else {
                category_id(text.as_bytes())
            };
            ids.push(parsed);
            rows.push(value);
        }
        for &value in &rows {
            ensure!(
                value.abs() <= 65_504.0,
                "keys `values`, `unknown_value`: {value} is outside of fp16 (-65504 to 65504)"
            );
        }
        let default = raw.default.as_ref().map(|v| id(v, integer)).transpose().context("key `default`")?;
        if let Some(id) = default {
            ensure!(ids.contains(&id), "key `default` is none of the keys of `values`");
        }
        self.unique(&raw.name)?;
        self.embeddings.push(Embedding {
            name: raw.name,
            index: Index::Vocabulary { count: ids.len() as u32 },
            dim: 1,
            unknown_row: true,
            missing_row: false,
            wide: false,
        });
        self.tables.push(EmbeddingFill::Fixed { ids, rows });
        self.wide.push(Some(false));
        Ok(Kind::Category { embedding: self.embeddings.len() as u32 - 1, boundaries: Vec::new(), default })
    }

    /// The table that a feature names, or the one that it defines inline under its own name.
    fn embedding_of(&mut self, raw: &raw::Feature, integer: bool) -> Result<u32> {
        match &raw.embedding {
            Some(toml::Value::String(name)) => {
                let found = self.embeddings.iter().position(|e| e.name == *name);
                found.map(|i| i as u32).ok_or_else(|| {
                    let known: Vec<&str> = self.embeddings.iter().map(|e| e.name.as_str()).collect();
                    anyhow!("key `embedding` names `{name}`, which is not defined; defined before it: {}", list(&known))
                })
            }
            Some(toml::Value::Table(table)) => {
                let embedding: raw::Embedding = typed(table.clone().into()).context("key `embedding`")?;
                ensure!(
                    embedding.name.is_none(),
                    "key `embedding.name`: a table defined inside a feature takes the feature's name"
                );
                self.table(raw.name.clone(), embedding, integer).context("key `embedding`")?;
                Ok(self.embeddings.len() as u32 - 1)
            }
            Some(other) => bail!(
                "key `embedding` is a {}; allowed: the name of an [[embeddings]] table, or a table {{ dim = .., .. }}",
                other.type_str()
            ),
            None => bail!("key `embedding` is missing: the name of an [[embeddings]] table, or {{ dim = .., .. }}"),
        }
    }

    /// Adds a table. `integer`: integers in `vocabulary_file` are ids rather than strings.
    fn table(&mut self, name: String, raw: raw::Embedding, integer: bool) -> Result<()> {
        self.unique(&name)?;
        ensure!(raw.dim <= MAX_DIM, "key `dim` = {}; allowed: up to {MAX_DIM}", raw.dim);
        ensure!(raw.dim > 0 || raw.wide == Some(true), "key `dim` = 0 is for tables with wide = true only");
        let given = raw.vocabulary.is_some() || raw.vocabulary_file.is_some();
        let ways = usize::from(raw.count.is_some()) + usize::from(raw.buckets.is_some()) + usize::from(given);
        ensure!(ways <= 1, "more than one of the keys `count`, `buckets`, `vocabulary`, `vocabulary_file`");
        ensure!(raw.vocabulary.is_none() || raw.vocabulary_file.is_none(), "both `vocabulary` and `vocabulary_file`");
        ensure!(
            ways == 0 || (raw.min_count.is_none() && raw.max_size.is_none()),
            "keys `min_count` and `max_size` are for vocabularies that the trainer builds"
        );
        let (index, table) = if let Some(count) = raw.count {
            ensure!(count > 0, "key `count` = 0");
            (Index::Identity { count }, EmbeddingFill::Indexed)
        } else if let Some(buckets) = raw.buckets {
            ensure!(buckets > 0, "key `buckets` = 0");
            (Index::Hashed { buckets }, EmbeddingFill::Indexed)
        } else if given {
            let ids = self.vocabulary(&raw, integer)?;
            ensure!(!ids.is_empty(), "the vocabulary is empty");
            ensure!(ids.iter().collect::<BTreeSet<_>>().len() == ids.len(), "the vocabulary names a value twice");
            (Index::Vocabulary { count: u32::try_from(ids.len())? }, EmbeddingFill::Given(ids))
        } else {
            ensure!(raw.min_count != Some(0), "key `min_count` = 0; allowed: 1 and more");
            (Index::Vocabulary { count: 0 }, EmbeddingFill::Built { min_count: raw.min_count, max_size: raw.max_size })
        };
        // Weights from elsewhere rarely have rows for unknown or missing values; a trainer wants both.
        let built = matches!(table, EmbeddingFill::Built { .. });
        let hashed = matches!(index, Index::Hashed { .. });
        self.embeddings.push(Embedding {
            name,
            index,
            dim: raw.dim,
            unknown_row: raw.unknown_row.unwrap_or(built && !hashed),
            missing_row: raw.missing_row.unwrap_or(built),
            wide: raw.wide.unwrap_or(false),
        });
        self.tables.push(table);
        self.wide.push(raw.wide);
        Ok(())
    }

    fn vocabulary(&self, raw: &raw::Embedding, integer: bool) -> Result<Vec<u64>> {
        if let Some(file) = &raw.vocabulary_file {
            let path = self.directory.join(file);
            let text = read_file(&path).context("key `vocabulary_file`")?;
            let text = String::from_utf8(text)
                .with_context(|| format!("key `vocabulary_file`: cannot read {}", path.display()))?;
            let parse = |(i, line): (usize, &str)| {
                if !integer {
                    return Ok(category_id(line.as_bytes()));
                }
                // Encoded as in data files: a negative integer in two's complement.
                let id = Scalar::from(line.as_bytes()).integer_id();
                id.ok_or_else(|| anyhow!("{} line {}: `{line}` is not an integer id", path.display(), i + 1))
            };
            return text.trim_start_matches('\u{feff}').lines().enumerate().map(parse).collect();
        }
        let Some(toml::Value::Array(values)) = &raw.vocabulary else {
            bail!("key `vocabulary` must be a list of strings or of integers");
        };
        let integers = matches!(values.first(), Some(toml::Value::Integer(_)));
        values.iter().map(|v| id(v, integers)).collect::<Result<_>>().context("key `vocabulary`")
    }

    fn unique(&self, name: &str) -> Result<()> {
        ensure!(!name.is_empty(), "an embedding's name is empty");
        ensure!(self.embeddings.iter().all(|e| e.name != name), "embedding `{name}` is defined twice");
        Ok(())
    }

    fn check_use(&self, schema: &Schema) -> Result<()> {
        let mut used: HashMap<u32, &str> = HashMap::new();
        for feature in &schema.features {
            if let Kind::Category { embedding, .. } | Kind::MultiCategory { embedding, .. } = &feature.kind {
                used.insert(*embedding, &feature.name);
            }
        }
        for (i, embedding) in self.embeddings.iter().enumerate() {
            ensure!(used.contains_key(&(i as u32)), "embedding `{}` is used by no feature", embedding.name);
        }
        Ok(())
    }
}

fn number(raw: &raw::Feature) -> Result<Kind> {
    let mut transform = Transform::default();
    if let Some(t) = &raw.transform {
        if let Some((low, high)) = t.clip {
            ensure!(low <= high, "key `transform.clip` = [{low}, {high}]: the first must not be above the second");
            transform.clip = (low, high);
        }
        transform.log1p = t.log1p;
        transform.mean = t.mean.unwrap_or(0.0);
        transform.scale = t.scale.unwrap_or(1.0);
        ensure!(transform.mean.is_finite(), "key `transform.mean` = {} is not finite", transform.mean);
        ensure!(
            transform.scale.is_finite() && transform.scale != 0.0,
            "key `transform.scale` = {}; allowed: finite and not 0 (it divides)",
            transform.scale
        );
    }
    let default = match &raw.default {
        None => 0.0,
        Some(toml::Value::Float(x)) => *x as f32,
        Some(toml::Value::Integer(x)) => *x as f32,
        Some(other) => bail!("key `default` is a {}; allowed: a number", other.type_str()),
    };
    ensure!(default.is_finite(), "key `default` = {default} is not finite");
    Ok(Kind::Number { transform, default })
}

fn source(raw: raw::Source) -> Source {
    match raw {
        raw::Source::Context => Source::Context,
        raw::Source::User => Source::User,
        raw::Source::Time => Source::Time,
        raw::Source::Ad => Source::Ad,
        raw::Source::Cross => Source::Cross,
        raw::Source::Candidate => Source::Candidate,
        raw::Source::Dot => Source::Dot,
    }
}

fn tables(file: &mut toml::Table, key: &str) -> Result<Vec<toml::Table>> {
    let found = match file.remove(key) {
        None => return Ok(Vec::new()),
        Some(toml::Value::Array(items)) => items,
        Some(other) => bail!("`{key}` is a {}; write [[{key}]] before each of them", other.type_str()),
    };
    found
        .into_iter()
        .enumerate()
        .map(|(i, v)| match v {
            toml::Value::Table(t) => Ok(t),
            other => bail!("{key}[{i}] is a {}, expected a table", other.type_str()),
        })
        .collect()
}
