//! The tables of a bundle: built from data files, taken as they are, or carried over.

use std::io::Read;
use std::path::{Path, PathBuf};

use adclick::builder::artifact::container::MAGIC;
use adclick::builder::bundle::{Manifest, Role};
use adclick::builder::schema::Enrichment;
use adclick::builder::table::{Checks, Duplicates, Shard};
use adclick_data::logs::BadLimit;
use adclick_data::progress::Progress;
use adclick_data::schema_file::{SchemaFile, TableFile, key_text};
use adclick_data::setting::{refuse, require};
use adclick_data::tables::{self, DataFiles, TableOptions, TableSummary, file_name, of_packed};
use anyhow::{Context, Result};

use super::base::Base;
use crate::bundle::{BundlePart, Holds, open_table};

/// The files of one table, either all data files or all packed ones.
#[derive(Debug, Clone)]
pub struct GivenTable {
    /// The table's name.
    pub name: String,
    /// Its files.
    pub paths: Vec<PathBuf>,
}

/// The tables of a bundle, and how they are built.
#[derive(Debug, Clone)]
pub struct GivenTables {
    /// The files; those with the same name form one table.
    pub given: Vec<GivenTable>,
    /// The rule for a key that is given twice.
    pub duplicates: Duplicates,
    /// How new the data is, in microseconds since 1970-01-01 UTC; `None` = the newest change of a table's files.
    pub as_of: Option<i64>,
    /// Bytes of rows held in memory while a table is built.
    pub memory: usize,
    /// Build only this shard of sharded tables.
    pub shard: Option<u32>,
    /// The number of malformed rows of a table that may be left out before building fails.
    pub limit: BadLimit,
}

/// The step that a table needs.
pub(super) enum TableStep {
    /// Build it from data.
    Build(TableFile, DataFiles),
    /// It is already packed: the files with their shards.
    Take(String, Vec<(PathBuf, Shard)>),
}

impl TableStep {
    /// The table's name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Build(table, _) => &table.name,
            Self::Take(name, _) => name,
        }
    }
}

impl GivenTables {
    /// The plan, made before any step runs: the given files, and how each becomes a table.
    pub(super) fn plan(&self, schema: Option<&SchemaFile>, base: &Base) -> Result<Vec<TableStep>> {
        let mut all: Vec<GivenTable> = Vec::new();
        for table in &self.given {
            match all.iter_mut().find(|t| t.name == table.name) {
                Some(known) => known.paths.extend(table.paths.iter().cloned()),
                None => all.push(table.clone()),
            }
        }
        let steps: Vec<TableStep> = all.iter().map(|table| self.step(table, schema, base)).collect::<Result<_>>()?;
        let in_shards = |step: &TableStep| matches!(step, TableStep::Build(table, _) if table.shards > 1);
        if let Some(shard) = self.shard {
            require!(
                steps.iter().any(in_shards),
                [Shard],
                "shard {shard}: none of the tables that are built has shards; leave it out, or give `shards` in the schema"
            );
        }
        Ok(steps)
    }

    fn step(&self, given: &GivenTable, schema: Option<&SchemaFile>, base: &Base) -> Result<TableStep> {
        let name = &given.name;
        let described = schema.map(|s| of_schema(s, name, base.enrichment())).transpose()?;
        let packed = given.paths.iter().map(|p| is_packed(p)).collect::<Result<Vec<_>>>()?;
        if packed.iter().all(|p| *p) {
            return take(given, described);
        }
        require!(
            !packed.contains(&true),
            [Table],
            "table `{name}`: packed table files and data files do not go together"
        );
        let table = match (described, base.table(name)) {
            (Some(table), _) => table.clone(),
            (None, Some(old)) => of_packed(&open_table(old, Checks::Structure)?)?,
            (None, None) => {
                refuse!([Schema], "table `{name}`: give a schema, which says how data files become the table")
            }
        };
        Ok(TableStep::Build(table, DataFiles { paths: given.paths.clone(), limit: self.limit }))
    }

    /// Runs the steps, in the directory `out`. Returns the files for the bundle, and a summary of each table built.
    pub(super) fn run(
        &self,
        steps: Vec<TableStep>,
        out: &Path,
        progress: &Progress,
    ) -> Result<(Vec<BundlePart>, Vec<TableSummary>)> {
        let options = TableOptions {
            duplicates: self.duplicates,
            as_of: self.as_of,
            shard: self.shard,
            memory: self.memory,
            spill: out.to_owned(),
        };
        let mut parts = Vec::new();
        let mut summaries = Vec::new();
        for step in steps {
            match step {
                TableStep::Build(table, data) => {
                    let summary = tables::build(&table, &data, &options, out, progress)?;
                    parts.extend(summary.files.iter().map(|path| {
                        let name = path.file_name().unwrap_or_default().to_string_lossy();
                        BundlePart::new(Role::Table, &name, Holds::Link(path.clone()))
                    }));
                    summaries.push(summary);
                }
                TableStep::Take(name, files) => {
                    parts.extend(files.into_iter().map(|(path, shard)| {
                        let holds = if is_published(&path) { Holds::Link(path) } else { Holds::Copy(path) };
                        BundlePart::new(Role::Table, &file_name(&name, shard), holds)
                    }));
                }
            }
        }
        Ok((parts, summaries))
    }
}

/// The definition of a table in the schema file. Its key must match the model's key for it.
fn of_schema<'a>(schema: &'a SchemaFile, name: &str, model: Option<&Enrichment>) -> Result<&'a TableFile> {
    let at = schema.feature_tables.iter().position(|t| t.name == name).with_context(|| {
        let known: Vec<&str> = schema.feature_tables.iter().map(|t| t.name.as_str()).collect();
        format!("table `{name}`: the schema has no [[tables]] of this name; it has: {}", known.join(", "))
    })?;
    let theirs = model.and_then(|m| Some(key_text(m, m.tables.iter().position(|t| t.name == name)?)));
    let ours = key_text(&schema.enrichment, at);
    if let Some(theirs) = theirs.filter(|t| *t != ours) {
        refuse!(
            [Table],
            "table `{name}`: its key is {ours} in the schema, and {theirs} in the model that is carried over"
        );
    }
    Ok(&schema.feature_tables[at])
}

/// Packed files, checked.
fn take(given: &GivenTable, described: Option<&TableFile>) -> Result<TableStep> {
    let mut files = Vec::new();
    for path in &given.paths {
        let table = open_table(path, Checks::Full)?;
        require!(
            table.name() == given.name,
            [Table],
            "table `{}`: {} is of table `{}`",
            given.name,
            path.display(),
            table.name()
        );
        if let Some(described) = described {
            require!(
                *described.layout.columns() == *table.layout().columns(),
                [Table],
                "table `{}`: the columns of {} are not those of the schema: {}, expected {}",
                given.name,
                path.display(),
                columns_text(table.layout().columns()),
                columns_text(described.layout.columns())
            );
        }
        files.push((path.clone(), table.shard()));
    }
    Ok(TableStep::Take(given.name.clone(), files))
}

fn columns_text(columns: &[adclick::builder::table::Column]) -> String {
    columns.iter().map(|c| format!("{} ({})", c.name, c.kind)).collect::<Vec<_>>().join(", ")
}

/// Whether a file is an artifact of ours rather than data.
fn is_packed(path: &Path) -> Result<bool> {
    let mut magic = [0; MAGIC.len()];
    let (mut file, _) = adclick::builder::files::open_regular(path)?;
    Ok(file.read_exact(&mut magic).is_ok() && magic == MAGIC)
}

/// Whether a file belongs to a bundle, whose files must not be written in place.
fn is_published(path: &Path) -> bool {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return false };
    Manifest::read(directory).is_ok_and(|m| m.files.iter().any(|f| name == f.name.as_str()))
}

/// Refuses a table that the model does not read, and a model without one of its tables.
pub(super) fn check_names(steps: &[TableStep], base: &Base) -> Result<()> {
    let Some(enrichment) = base.enrichment() else { return Ok(()) };
    let reads: Vec<&str> = enrichment.tables.iter().map(|t| t.name.as_str()).collect();
    for step in steps {
        require!(
            reads.contains(&step.name()),
            [Table],
            "table `{}`: the model reads no such table; it reads {}",
            step.name(),
            if reads.is_empty() { "none at all".to_owned() } else { reads.join(", ") }
        );
    }
    if let Some(name) = reads.iter().find(|name| steps.iter().all(|s| s.name() != **name) && base.table(name).is_none())
    {
        refuse!([Table], "the model reads table `{name}`, which the bundle would not have: give its files");
    }
    Ok(())
}

/// Makes the tables of a model that is to be trained, in the directory `out`: all that its schema reads, with all
/// shards.
pub(crate) fn for_training(
    tables: &GivenTables,
    schema: &SchemaFile,
    out: &Path,
    progress: &Progress,
) -> Result<(Vec<BundlePart>, Vec<TableSummary>)> {
    let steps = tables.plan(Some(schema), &Base::None)?;
    for (number, table) in schema.enrichment.tables.iter().enumerate() {
        if steps.iter().any(|step| step.name() == table.name) {
            continue;
        }
        let reads = |b: &&adclick::builder::schema::Binding| b.lookup.columns().any(|c| c.table as usize == number);
        let reader = match schema.enrichment.bindings.iter().find(reads) {
            Some(binding) => format!("feature `{}`", schema.schema.features[binding.feature as usize].name),
            None => "the key of another table".to_owned(),
        };
        refuse!([Table], "{reader} reads table `{}`, which is not given: give its files", table.name);
    }
    for step in &steps {
        let TableStep::Take(name, files) = step else { continue };
        let count = files.first().map_or(1, |(_, shard)| shard.count);
        let missing = (0..count).find(|k| files.iter().all(|(_, shard)| shard.index != *k));
        if let Some(missing) = missing {
            refuse!(
                [Table],
                "table `{name}`: shard {missing} of {count} is not given; rows whose keys are there would be trained on \
                 the default row: give all shards"
            );
        }
    }
    tables.run(steps, out, progress)
}
