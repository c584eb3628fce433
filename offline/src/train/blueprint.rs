//! What a model is to be made of, before any row was seen: features without vocabularies, boundaries or means.

use adclick::schema::{Pooling, Source};

use crate::data::{Columns, Format};
use crate::schema_file::SchemaFile;

/// How the ids of a category find their row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum IndexRule {
    /// A vocabulary of the ids that training rows hold at least so often (default: by the number of rows).
    Vocabulary {
        /// The least count.
        min_count: Option<u32>,
    },
    /// Hashed into so many buckets.
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

/// What becomes of a feature's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// A number: clipped, log1p if said, standardised by the mean and deviation of the training rows.
    Number {
        /// The range that raw values are limited to.
        clip: (f32, f32),
        /// Whether the logarithm is taken.
        log1p: bool,
        /// Whether mean and deviation are taken out.
        standardise: bool,
    },
    /// A number cut into buckets of equal mass, each an embedding row.
    Buckets {
        /// How many (default: by the number of rows).
        count: Option<u32>,
        /// Columns (default: by the number of rows).
        dim: Option<u32>,
    },
    /// A category.
    Category {
        /// The table; features that name the same one share it.
        table: String,
        /// How ids find rows.
        index: IndexRule,
        /// Columns (default: by the number of rows).
        dim: Option<u32>,
    },
    /// Any number of categories.
    Multi {
        /// The table; features that name the same one share it.
        table: String,
        /// How ids find rows.
        index: IndexRule,
        /// Columns (default: by the number of rows).
        dim: Option<u32>,
        /// How rows become one.
        pooling: Pooling,
    },
    /// A vector of numbers.
    Vector {
        /// Its length.
        dim: u32,
    },
}

/// One feature to be.
#[derive(Debug, Clone, PartialEq)]
pub struct FeaturePlan {
    /// Its name.
    pub name: String,
    /// The input that it reads; of a time feature one of [`adclick::schema::TIME_INPUTS`].
    pub input: String,
    /// Where a server takes the value from.
    pub source: Source,
    /// What becomes of it.
    pub plan: Plan,
    /// Of a position feature: the raw value that is served.
    pub position: Option<f32>,
}

/// All features to be, in the order of the columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Blueprint {
    /// The features; empty when a schema file gives them.
    pub features: Vec<FeaturePlan>,
    /// A schema file, taken as it is but for the vocabularies that it leaves to training.
    pub given: Option<SchemaFile>,
}

impl Blueprint {
    /// The built-in features of a format; every column of `examples` files is described by its schema instead, and
    /// without one each input becomes a request-side feature of its own kind.
    #[must_use]
    pub fn of(format: &Format) -> Self {
        match format {
            Format::Criteo => Self::criteo(),
            Format::Avazu => Self::avazu(&format.columns()),
            Format::Examples(columns) => Self::plain(columns),
        }
    }

    /// The features of a schema file.
    #[must_use]
    pub fn given(file: SchemaFile) -> Self {
        Self { features: Vec::new(), given: Some(file) }
    }

    /// Criteo's fields are anonymous, so which describe the request and which the ad is not known. Here I1..I9 and
    /// C1..C17 are the request's, I10..I13 and C18..C26 the candidate's: about two thirds and one third, as in an ad
    /// server. The split decides what is passed once per request, not what the model learns.
    fn criteo() -> Self {
        let side = |request| if request { Source::Context } else { Source::Candidate };
        let mut features = Vec::new();
        for i in 1..=13 {
            let (input, source) = (format!("I{i}"), side(i <= 9));
            features.push(number(&input, source));
            features.push(buckets(&input, source));
        }
        for i in 1..=26 {
            features.push(category(&format!("C{i}"), side(i <= 17)));
        }
        Self { features, given: None }
    }

    /// Site, app, device, slot and connection are the request's, C14 and C17..C21 (the ad's, by all accounts) the
    /// candidate's. Hour and weekday come from the request's time. The row's id is not a feature.
    fn avazu(columns: &Columns) -> Self {
        let time = |name: &str, count| FeaturePlan {
            name: name.to_owned(),
            input: name.to_owned(),
            source: Source::Time,
            plan: Plan::Category { table: name.to_owned(), index: IndexRule::Identity { count }, dim: None },
            position: None,
        };
        let mut features = vec![time("hour", 24), time("weekday", 7)];
        for input in &columns.inputs {
            let ad = matches!(input.name.as_str(), "C14" | "C17" | "C18" | "C19" | "C20" | "C21");
            features.push(category(&input.name, if ad { Source::Candidate } else { Source::Context }));
        }
        Self { features, given: None }
    }

    fn plain(columns: &Columns) -> Self {
        use crate::data::InputKind;
        let mut features = Vec::new();
        for input in &columns.inputs {
            let name = &input.name;
            let plan = match input.kind {
                InputKind::Number => {
                    features.push(number(name, Source::Context));
                    features.push(buckets(name, Source::Context));
                    continue;
                }
                InputKind::Text | InputKind::Integer => {
                    features.push(category(name, Source::Context));
                    continue;
                }
                InputKind::Texts(_) | InputKind::Integers(_) => Plan::Multi {
                    table: name.clone(),
                    index: IndexRule::Vocabulary { min_count: None },
                    dim: None,
                    pooling: Pooling::Mean,
                },
                InputKind::Vector(dim, _) => Plan::Vector { dim },
            };
            let (input, source) = (name.clone(), Source::Context);
            features.push(FeaturePlan { name: input.clone(), input, source, plan, position: None });
        }
        Self { features, given: None }
    }
}

fn number(input: &str, source: Source) -> FeaturePlan {
    FeaturePlan {
        name: input.to_owned(),
        input: input.to_owned(),
        source,
        plan: Plan::Number { clip: (f32::NEG_INFINITY, f32::INFINITY), log1p: true, standardise: true },
        position: None,
    }
}

fn buckets(input: &str, source: Source) -> FeaturePlan {
    FeaturePlan {
        name: format!("{input}_bucket"),
        input: input.to_owned(),
        source,
        plan: Plan::Buckets { count: None, dim: None },
        position: None,
    }
}

fn category(input: &str, source: Source) -> FeaturePlan {
    FeaturePlan {
        name: input.to_owned(),
        input: input.to_owned(),
        source,
        plan: Plan::Category { table: input.to_owned(), index: IndexRule::Vocabulary { min_count: None }, dim: None },
        position: None,
    }
}
