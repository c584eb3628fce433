//! Training: schema and vocabularies from the rows, then DCN-v2 with sparse updates of the embeddings.

mod apart;
mod backprop;
mod batch;
mod blend;
mod blueprint;
mod build;
mod census;
mod checkpoint;
mod clock;
mod config;
mod descent;
mod encode;
mod evidence;
mod finish;
mod fit;
mod from_schema;
mod gather;
mod inputs;
mod known;
mod learner;
mod linear;
mod loss;
mod metrics;
mod network;
mod passes;
mod sample;
mod split;
mod stats;
mod store;
mod tables;
mod tensors;
mod warm;

pub(crate) use apart::apart;
pub use blueprint::{Blueprint, FeaturePlan, FeatureRule, IndexRule, TableRule};
pub use config::{Checkpoints, Config, Hyper};
pub use fit::{Trained, fit};
pub use inputs::TrainingInputs;
pub use learner::HeldOutScores;
pub use metrics::RunStatistics;
pub use network::CrossShape;
pub use split::{Data, Split, SplitRole, SplitRoles};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod truth_tests;
