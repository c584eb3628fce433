//! The plan of a model before any row is read: its features, without vocabularies, boundaries or means.

use adclick::builder::schema::{MAX_FEATURES, Pooling, Source, Transform};
use adclick_data::logs::{AVAZU_INTEGERS, AVAZU_TEXTS, CRITEO_CATEGORIES, CRITEO_NUMBERS, Format};
use adclick_data::setting::require;
use anyhow::Result;

use super::config::Config;

/// How the ids of a category find their row.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum IndexRule {
    /// A vocabulary of the ids of training rows, or hashed buckets if the configuration says so.
    #[default]
    Auto,
    /// A vocabulary of the ids that occur often enough in the training rows.
    Vocabulary {
        /// The least count of an id; the default depends on the number of rows.
        min_count: Option<u32>,
        /// The most ids; the most frequent ones are kept.
        max_size: Option<u32>,
    },
    /// These ids, in row order.
    Given(Vec<u64>),
    /// Ids are hashed into buckets.
    Hashed {
        /// The number of rows.
        buckets: u32,
    },
    /// The id is the row.
    Identity {
        /// The number of rows.
        count: u32,
    },
}

/// An embedding table to build.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRule {
    /// Its name.
    pub name: String,
    /// How ids find rows.
    pub index: IndexRule,
    /// Columns; the default depends on the number of rows.
    pub dim: Option<u32>,
    /// Whether unknown ids have a row of their own.
    pub unknown_row: bool,
    /// Whether missing values have a row of their own.
    pub missing_row: bool,
    /// Whether the wide part has weights for the rows; by default as configured.
    pub wide: Option<bool>,
    /// Fixed rows that are not trained; empty otherwise.
    pub fixed: Vec<f32>,
}

/// How a feature's value is used.
#[derive(Debug, Clone, PartialEq)]
pub enum FeatureRule {
    /// A number.
    Number {
        /// The transform. A mean of 0 with a scale of 1 means that both are taken from the training rows.
        transform: Transform,
        /// Replaces a missing value; by default the median of the training rows.
        default: Option<f32>,
    },
    /// A number cut into buckets. Each bucket is a row of the table.
    Buckets {
        /// Index of the table.
        table: usize,
        /// Ascending boundaries; empty for buckets of equal mass.
        boundaries: Vec<f32>,
    },
    /// A category.
    Category {
        /// Index of the table.
        table: usize,
        /// Replaces a missing value.
        default: Option<u64>,
    },
    /// A list of categories.
    Multi {
        /// Index of the table.
        table: usize,
        /// How the rows are pooled into one.
        pooling: Pooling,
    },
    /// A vector of numbers.
    Vector {
        /// Its length.
        dim: u32,
    },
}

/// A feature to build.
#[derive(Debug, Clone, PartialEq)]
pub struct FeaturePlan {
    /// Its name.
    pub name: String,
    /// The input that it reads; for a time feature one of [`adclick::builder::schema::TIME_INPUTS`].
    pub input: String,
    /// Where a server takes the value from.
    pub source: Source,
    /// How its value is used.
    pub plan: FeatureRule,
    /// The raw value that is served, for a position feature.
    pub position: Option<f32>,
}

/// All features to build, in column order, and their tables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Blueprint {
    /// The features.
    pub features: Vec<FeaturePlan>,
    /// The tables, which the features name by index.
    pub tables: Vec<TableRule>,
    /// Whether the wide part is also fitted alone and mixed with the network by the validation rows. Off for the
    /// built-in features, which were chosen for the network: Criteo and Avazu gain nothing from it.
    pub weighs: bool,
    /// How many features at the end of the list are numbers cut into buckets for the wide part.
    pub(super) cut: usize,
}

impl Blueprint {
    /// The built-in features of a format; `None` for the format that needs a schema file.
    #[must_use]
    pub fn of(format: &Format) -> Option<Self> {
        match format {
            Format::Criteo => Some(Self::criteo()),
            Format::Avazu => Some(Self::avazu()),
            Format::Examples(_) => None,
        }
    }

    /// Criteo's fields are anonymous: which of them describe the request and which the ad is not published. Here I1..I9
    /// and C1..C17 belong to the request and I10..I13 and C18..C26 to the candidate, about two thirds to one third, as
    /// in an ad server. The split decides what is passed once per request, not what the model learns. Each number is
    /// both a column and cut into buckets.
    fn criteo() -> Self {
        let side = |request| if request { Source::Context } else { Source::Candidate };
        let mut blueprint = Self::default();
        for i in 1..=CRITEO_NUMBERS {
            blueprint.number(&format!("I{i}"), side(i <= 9));
        }
        for i in 1..=CRITEO_CATEGORIES {
            blueprint.category(&format!("C{i}"), side(i <= 17), IndexRule::Auto);
        }
        blueprint
    }

    /// Site, app, device, slot and connection belong to the request; C14 and C17..C21, which seem to describe the ad,
    /// belong to the candidate. Hour and weekday come from the request's time. The row's id is not a feature.
    fn avazu() -> Self {
        let mut blueprint = Self::default();
        blueprint.category("hour", Source::Time, IndexRule::Identity { count: 24 });
        blueprint.category("weekday", Source::Time, IndexRule::Identity { count: 7 });
        for name in AVAZU_TEXTS.iter().chain(&AVAZU_INTEGERS) {
            let ad = matches!(*name, "C14" | "C17" | "C18" | "C19" | "C20" | "C21");
            blueprint.category(name, if ad { Source::Candidate } else { Source::Context }, IndexRule::Auto);
        }
        blueprint
    }

    /// The features, with the options applied to their tables. An option overrides a schema file.
    ///
    /// # Errors
    /// An option that applies to no table.
    pub(super) fn with(&self, config: &Config) -> Result<Self> {
        let mut blueprint = if config.wide == Some(false) { self.uncut() } else { self.clone() };
        let (mut collected, mut trained) = (false, false);
        for table in &mut blueprint.tables {
            let open = matches!(table.index, IndexRule::Auto | IndexRule::Vocabulary { .. });
            collected |= open;
            if let (IndexRule::Vocabulary { min_count, .. }, Some(least)) = (&mut table.index, config.min_count) {
                *min_count = Some(least);
            }
            if let (true, Some(buckets)) = (open, config.hash_buckets) {
                table.index = IndexRule::Hashed { buckets };
            }
            // A table without columns serves the wide part alone.
            let has_columns = table.fixed.is_empty() && table.dim != Some(0);
            trained |= has_columns;
            if has_columns && config.dim.is_some() {
                table.dim = config.dim;
            }
        }
        require!(
            config.min_count.is_none() || collected,
            [MinCount],
            "a least count is for tables whose ids training collects, and there are none: the schema gives the ids of each table"
        );
        require!(
            config.hash_buckets.is_none() || collected,
            [HashBuckets],
            "buckets are for tables whose ids training collects, and there are none: the schema gives the ids of each table"
        );
        require!(config.dim.is_none() || trained, [Dim], "a width is given for embeddings, and no feature has one");
        Ok(blueprint)
    }

    /// Lets the wide part read numbers: each number is also cut into buckets of equal mass, which have no columns of
    /// their own. Numbers that a feature already cuts are left alone.
    pub(super) fn cut_numbers(&mut self) {
        for i in 0..self.features.len() {
            let number = &self.features[i];
            let same_input = |f: &FeaturePlan| f.input == number.input && f.source == number.source;
            let cut = self.features.iter().any(|f| matches!(f.plan, FeatureRule::Buckets { .. }) && same_input(f));
            if cut || !matches!(number.plan, FeatureRule::Number { .. }) || self.features.len() == MAX_FEATURES {
                continue;
            }
            let mut name = format!("{}_bucket", number.name);
            while self.features.iter().any(|f| f.name == name) || self.tables.iter().any(|t| t.name == name) {
                name.push('_');
            }
            let table = self.tables.len();
            let feature = FeaturePlan {
                name: name.clone(),
                plan: FeatureRule::Buckets { table, boundaries: Vec::new() },
                ..number.clone()
            };
            self.tables.push(TableRule {
                name,
                // The boundaries decide the number of rows.
                index: IndexRule::Identity { count: 1 },
                dim: Some(0),
                unknown_row: false,
                missing_row: true,
                wide: Some(true),
                fixed: Vec::new(),
            });
            self.features.push(feature);
            self.cut += 1;
        }
    }

    /// The features without those that [`Self::cut_numbers`] added.
    pub(super) fn uncut(&self) -> Self {
        let kept = |all: usize| all - self.cut;
        Self {
            features: self.features[..kept(self.features.len())].to_vec(),
            tables: self.tables[..kept(self.tables.len())].to_vec(),
            weighs: self.weighs,
            cut: 0,
        }
    }

    fn push(&mut self, name: String, input: &str, source: Source, plan: FeatureRule) {
        self.features.push(FeaturePlan { name, input: input.to_owned(), source, plan, position: None });
    }

    fn number(&mut self, input: &str, source: Source) {
        let transform = Transform { log1p: true, ..Transform::default() };
        self.push(input.to_owned(), input, source, FeatureRule::Number { transform, default: None });
        let name = format!("{input}_bucket");
        let table = self.table(&name, IndexRule::Auto, false);
        self.push(name, input, source, FeatureRule::Buckets { table, boundaries: Vec::new() });
    }

    fn category(&mut self, input: &str, source: Source, index: IndexRule) {
        let table = self.table(input, index, true);
        self.push(input.to_owned(), input, source, FeatureRule::Category { table, default: None });
    }

    fn table(&mut self, name: &str, index: IndexRule, unknown_row: bool) -> usize {
        self.tables.push(TableRule {
            name: name.to_owned(),
            index,
            dim: None,
            unknown_row,
            missing_row: true,
            wide: None,
            fixed: Vec::new(),
        });
        self.tables.len() - 1
    }
}
