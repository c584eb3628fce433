//! The limits of scorers.

use crate::error::{Error, Result, Status};

/// The sizes that a scorer's scratch must have. An engine fixes them once, so that every later generation fits the
/// scorers made before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// f32 of network scratch.
    pub scratch: usize,
    /// Features of a schema.
    pub features: usize,
    /// Input columns.
    pub width: usize,
    /// The number of tables that a model reads.
    pub tables: usize,
    /// The size of one row of each of them, in bytes, added up.
    pub row_bytes: usize,
}

impl Limits {
    /// Whether scorers with these limits can serve a generation with these needs.
    ///
    /// # Errors
    /// `Unsupported`, naming the limit, what the generation needs and the remedy.
    pub(crate) fn fit(self, limits: Self) -> Result<()> {
        for (what, need, has) in [
            ("f32 of scratch", self.scratch, limits.scratch),
            ("features", self.features, limits.features),
            ("input columns", self.width, limits.width),
            ("tables", self.tables, limits.tables),
            ("bytes of rows of tables", self.row_bytes, limits.row_bytes),
        ] {
            if need > has {
                return Err(Error::new(
                    Status::Unsupported,
                    format!(
                        "the model needs {need} {what} and this engine's scorers have room for {has}: open the engine \
                         with a larger `headroom` option"
                    ),
                ));
            }
        }
        Ok(())
    }
}
