//! The internals that packing, training and the tests need beside the serving interface: file writers, the schema, the
//! layers of a model, its reference in f64, bundles, tables. Present with the Cargo feature `builder`.
//!
//! **Unstable**: these are internal modules, and they may change in any release. A server needs none of them.

/// Exports the module of that name.
macro_rules! rooms {
    ($($(#[$says:meta])* $room:ident;)*) => { $(
        $(#[$says])*
        pub mod $room {
            #[doc(inline)]
            pub use crate::$room::*;
        }
    )* };
}

rooms! {
    /// Mapped files: the container that all artifacts share, and the model in one.
    artifact;
    /// Directories of a generation's files: manifest, `CURRENT`, writing and publishing.
    bundle;
    /// Curves from logits to probabilities.
    calibrate;
    /// The exported C functions, called from Rust.
    #[doc(hidden)]
    capi;
    /// The log of decisions and events: its schemas, and closing what was left open.
    decision_log;
    /// Raw values to model inputs.
    enrich;
    /// Files and directories that are made beside their place and renamed to it.
    files;
    /// The one hash function, and what files and tables derive from it.
    hash;
    /// Model inputs to logits: kernels, plans, and the reference in f64.
    infer;
    /// A bundle opened as a generation.
    live;
    /// A model made ready to score, and packed.
    model;
    /// Rows on top of tables.
    overlay;
    /// From the inventory to the candidates.
    retrieve;
    /// Cache lines asked for early.
    prefetch;
    /// Features: names, kinds, sources, and how tables feed them.
    schema;
    /// Feature tables: building, opening, lookup.
    table;
}

pub use crate::named::Named;

/// Parts of policies and auctions, and the candidates that can decide one.
pub mod auction {
    #[doc(inline)]
    pub use crate::auction::parts::*;
}
