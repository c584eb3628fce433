//! The tables of a bundle: built from data files, taken as they are, or carried over.

use std::io::Read;
use std::path::{Path, PathBuf};

use adclick::builder::artifact::container::MAGIC;
use adclick::builder::bundle::{Manifest, Role};
use adclick::builder::schema::Enrichment;
use adclick::builder::table::{Checks, Duplicates, Shard};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use super::base::Base;
use adclick_data::logs::BadLimit;
use adclick_data::progress::Progress;
use adclick_data::schema_file::{SchemaFile, TableFile, key_text};
use adclick_data::tables::{self, DataFiles, Options, Summary, file_name, of_packed};
use adclick_train::bundle::{Holds, Part, open_table};

/// What becomes of a key that is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cmd) enum DuplicateKeys {
    /// Fail, naming both rows.
    Refuse,
    /// The row given last stays.
    Last,
}

/// Which tables, and how they are built.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cmd) struct BuildArgs {
    /// A feature table: CSV (also .gz, .zst), Parquet or Arrow IPC files, or a packed table file, which is taken as it is.
    #[arg(long = "table", value_name = "NAME=FILE[,FILE...]", value_parser = given)]
    tables: Vec<Given>,
    /// What becomes of a key that is given twice.
    #[arg(long, value_enum, default_value_t = DuplicateKeys::Refuse)]
    duplicates: DuplicateKeys,
    /// How new the tables' data is: RFC 3339, or seconds since 1970 [default: the newest change of a table's files].
    #[arg(long, value_name = "TIME", value_parser = as_of)]
    as_of: Option<i64>,
    /// MB of rows that wait in memory while a table is built.
    #[arg(long, value_name = "MB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    memory: u32,
}

/// The same with what only packing needs.
#[derive(Debug, clap::Args)]
pub(super) struct TableArgs {
    #[command(flatten)]
    build: BuildArgs,
    /// Of tables with shards, build only this one (from 0).
    #[arg(long, value_name = "K")]
    shard: Option<u32>,
    /// Leave out up to so many malformed rows of a table, then fail [default: 10, or a thousandth of the rows].
    #[arg(long, value_name = "ROWS")]
    max_bad_rows: Option<u64>,
}

/// One `--table`.
#[derive(Debug, Clone)]
pub(in crate::cmd) struct Given {
    name: String,
    paths: Vec<PathBuf>,
}

fn given(text: &str) -> Result<Given, String> {
    let (name, paths) = text.split_once('=').ok_or("expected NAME=FILE, or NAME=FILE,FILE for several")?;
    if paths.is_empty() || paths.split(',').any(str::is_empty) {
        return Err("expected the name of a file after `=` and each comma".into());
    }
    Ok(Given { name: name.to_owned(), paths: paths.split(',').map(PathBuf::from).collect() })
}

fn as_of(text: &str) -> Result<i64, String> {
    let time = adclick_data::time::parse(text).map_err(|e| e.to_string())?;
    // What is written on top of tables ends there, too. Later is not meant: such a table would count as fresh for ever.
    if !(0..=i64::from(u32::MAX) * 1_000_000).contains(&time) {
        return Err(format!(
            "`{text}` is {}, expected 1970 to 2106: a number is in seconds",
            adclick_data::time::show(time)
        ));
    }
    Ok(time)
}

/// What is to be done for a table.
pub(super) enum Job {
    /// Build it from data.
    Build(TableFile, DataFiles),
    /// It is packed already: the files with their shards.
    Take(String, Vec<(PathBuf, Shard)>),
}

impl Job {
    /// The table's name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Build(table, _) => &table.name,
            Self::Take(name, _) => name,
        }
    }
}

impl BuildArgs {
    /// Whether any table is given.
    pub(in crate::cmd) fn any(&self) -> bool {
        !self.tables.is_empty()
    }
}

impl TableArgs {
    /// Whether any table is given.
    pub(super) fn any(&self) -> bool {
        self.build.any()
    }

    /// What is to be done, before any of it is: the files that are given, and how they become tables.
    pub(super) fn jobs(&self, schema: Option<&SchemaFile>, base: &Base) -> Result<Vec<Job>> {
        let mut all: Vec<Given> = Vec::new();
        for table in &self.build.tables {
            match all.iter_mut().find(|t| t.name == table.name) {
                Some(known) => known.paths.extend(table.paths.iter().cloned()),
                None => all.push(table.clone()),
            }
        }
        let jobs: Vec<Job> = all.iter().map(|table| self.job(table, schema, base)).collect::<Result<_>>()?;
        let in_shards = |job: &Job| matches!(job, Job::Build(table, _) if table.shards > 1);
        if let Some(shard) = self.shard {
            ensure!(
                jobs.iter().any(in_shards),
                "--shard {shard}: none of the tables that are built has shards; leave it out, or give `shards` in the schema"
            );
        }
        Ok(jobs)
    }

    fn job(&self, given: &Given, schema: Option<&SchemaFile>, base: &Base) -> Result<Job> {
        let name = &given.name;
        let described = schema.map(|s| of_schema(s, name, base.enrichment())).transpose()?;
        let packed = given.paths.iter().map(|p| is_packed(p)).collect::<Result<Vec<_>>>()?;
        if packed.iter().all(|p| *p) {
            return take(given, described);
        }
        ensure!(!packed.contains(&true), "--table {name}: packed table files and data files do not go together");
        let table = match (described, base.table(name)) {
            (Some(table), _) => table.clone(),
            (None, Some(old)) => of_packed(&open_table(old, Checks::Structure)?)?,
            (None, None) => bail!("--table {name}: give --schema, which says how data files become the table"),
        };
        let limit = self.max_bad_rows.map_or(BadLimit::Default, BadLimit::Rows);
        Ok(Job::Build(table, DataFiles { paths: given.paths.clone(), limit }))
    }

    /// Does the jobs, in the directory `out`. Returns the files for the bundle, and what there is to say about them.
    pub(super) fn run(&self, jobs: Vec<Job>, out: &Path, progress: Progress) -> Result<(Vec<Part>, Vec<Summary>)> {
        let duplicates = match self.build.duplicates {
            DuplicateKeys::Refuse => Duplicates::Refuse,
            DuplicateKeys::Last => Duplicates::KeepLast,
        };
        let options = Options {
            duplicates,
            as_of: self.build.as_of,
            shard: self.shard,
            memory: (self.build.memory as usize) << 20,
            spill: out.to_owned(),
        };
        let mut parts = Vec::new();
        let mut summaries = Vec::new();
        for job in jobs {
            match job {
                Job::Build(table, data) => {
                    let summary = tables::build(&table, &data, &options, out, progress)?;
                    parts.extend(summary.files.iter().map(|path| {
                        let name = path.file_name().unwrap_or_default().to_string_lossy();
                        Part::new(Role::Table, &name, Holds::Link(path.clone()))
                    }));
                    summaries.push(summary);
                }
                Job::Take(name, files) => {
                    parts.extend(files.into_iter().map(|(path, shard)| {
                        let holds = if is_published(&path) { Holds::Link(path) } else { Holds::Copy(path) };
                        Part::new(Role::Table, &file_name(&name, shard), holds)
                    }));
                }
            }
        }
        Ok((parts, summaries))
    }
}

/// The schema file's word on a table, which must be of the key that the model has for it.
fn of_schema<'a>(schema: &'a SchemaFile, name: &str, model: Option<&Enrichment>) -> Result<&'a TableFile> {
    let at = schema.feature_tables.iter().position(|t| t.name == name).with_context(|| {
        let known: Vec<&str> = schema.feature_tables.iter().map(|t| t.name.as_str()).collect();
        format!("--table {name}: the schema has no [[tables]] of this name; it has: {}", known.join(", "))
    })?;
    let theirs = model.and_then(|m| Some(key_text(m, m.tables.iter().position(|t| t.name == name)?)));
    let ours = key_text(&schema.enrichment, at);
    if let Some(theirs) = theirs.filter(|t| *t != ours) {
        bail!("--table {name}: its key is {ours} in the schema, and {theirs} in the model that is carried over");
    }
    Ok(&schema.feature_tables[at])
}

/// Packed files, checked.
fn take(given: &Given, described: Option<&TableFile>) -> Result<Job> {
    let mut files = Vec::new();
    for path in &given.paths {
        let table = open_table(path, Checks::Full)?;
        ensure!(
            table.name() == given.name,
            "--table {}: {} is of table `{}`",
            given.name,
            path.display(),
            table.name()
        );
        if let Some(described) = described {
            ensure!(
                *described.layout.columns() == *table.layout().columns(),
                "--table {}: the columns of {} are not those of the schema: {}, expected {}",
                given.name,
                path.display(),
                columns_text(table.layout().columns()),
                columns_text(described.layout.columns())
            );
        }
        files.push((path.clone(), table.shard()));
    }
    Ok(Job::Take(given.name.clone(), files))
}

fn columns_text(columns: &[adclick::builder::table::Column]) -> String {
    columns.iter().map(|c| format!("{} ({})", c.name, c.kind)).collect::<Vec<_>>().join(", ")
}

/// Whether a file is an artifact of ours and no data.
fn is_packed(path: &Path) -> Result<bool> {
    let mut magic = [0; MAGIC.len()];
    let (mut file, _) = adclick::builder::files::open_regular(path)?;
    Ok(file.read_exact(&mut magic).is_ok() && magic == MAGIC)
}

/// Whether a file is part of a bundle, which nobody writes in place.
fn is_published(path: &Path) -> bool {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return false };
    Manifest::read(directory).is_ok_and(|m| m.files.iter().any(|f| name == f.name.as_str()))
}

/// Whether the model finds all its tables, and no table comes for nothing.
pub(super) fn check_names(jobs: &[Job], base: &Base) -> Result<()> {
    let Some(enrichment) = base.enrichment() else { return Ok(()) };
    let reads: Vec<&str> = enrichment.tables.iter().map(|t| t.name.as_str()).collect();
    for job in jobs {
        ensure!(
            reads.contains(&job.name()),
            "--table {}: the model reads no such table; it reads {}",
            job.name(),
            if reads.is_empty() { "none at all".to_owned() } else { reads.join(", ") }
        );
    }
    if let Some(name) = reads.iter().find(|name| jobs.iter().all(|j| j.name() != **name) && base.table(name).is_none())
    {
        bail!("the model reads table `{name}`, which the bundle would not have: give --table {name}=FILE");
    }
    Ok(())
}

/// The tables of a model that is to be trained, in the directory `out`: all that its schema reads, and all their shards.
pub(in crate::cmd) fn for_training(
    build: &BuildArgs,
    schema: &SchemaFile,
    max_bad_rows: Option<u64>,
    out: &Path,
    progress: Progress,
) -> Result<(Vec<Part>, Vec<Summary>)> {
    let args = TableArgs { build: build.clone(), shard: None, max_bad_rows };
    let jobs = args.jobs(Some(schema), &Base::None)?;
    for (number, table) in schema.enrichment.tables.iter().enumerate() {
        if jobs.iter().any(|job| job.name() == table.name) {
            continue;
        }
        let reads = |b: &&adclick::builder::schema::Binding| b.lookup.columns().any(|c| c.table as usize == number);
        let reader = match schema.enrichment.bindings.iter().find(reads) {
            Some(binding) => format!("feature `{}`", schema.schema.features[binding.feature as usize].name),
            None => "the key of another table".to_owned(),
        };
        bail!("{reader} reads table `{}`, which is not given: give --table {}=FILE", table.name, table.name);
    }
    for job in &jobs {
        let Job::Take(name, files) = job else { continue };
        let count = files.first().map_or(1, |(_, shard)| shard.count);
        let missing = (0..count).find(|k| files.iter().all(|(_, shard)| shard.index != *k));
        if let Some(missing) = missing {
            bail!(
                "--table {name}: shard {missing} of {count} is not given; rows whose keys are there would be trained on \
                 the default row: give all shards"
            );
        }
    }
    args.run(jobs, out, progress)
}
