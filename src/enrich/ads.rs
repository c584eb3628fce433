//! The inputs of a candidate that depend only on its ad's row.

use std::ops::Range;

use super::assemble::{Assembler, State};
use super::passed::Passed;
use crate::artifact::model::Model;
use crate::schema::{KeyPart, Lookup, Side};
use crate::table::RowAt;

/// The features that read one table whose only key is the ad, and their columns. While nothing is passed for these
/// features and no override of the row applies, the columns are the same in every request.
#[derive(Debug)]
pub(crate) struct AdColumns {
    /// The number of the table in the model's enrichment.
    pub(crate) table: usize,
    /// Serving columns, ascending and without duplicates.
    pub(crate) columns: Vec<Range<usize>>,
    /// For each feature, whether it is one of them.
    features: Vec<bool>,
}

impl AdColumns {
    /// The largest such set of columns, over the tables whose only key is the ad. None: no feature reads such a table.
    /// such a table.
    pub(crate) fn of(model: &Model) -> Option<Self> {
        let (schema, enrichment) = (model.schema(), model.enrichment());
        let ads = enrichment.tables.iter().enumerate().filter(|(_, table)| table.key == [KeyPart::Ad]);
        let all = ads.map(|(table, _)| {
            let mut features = vec![false; schema.features.len()];
            for binding in &enrichment.bindings {
                let feature = &schema.features[binding.feature as usize];
                let reads = matches!(&binding.lookup, Lookup::Column(column) if column.table as usize == table);
                features[binding.feature as usize] =
                    reads && feature.side() == Side::Candidate && feature.position.is_none();
            }
            let own = model.layout().columns.iter().zip(&features).filter(|(_, is_own)| **is_own);
            let mut columns: Vec<Range<usize>> = own.map(|(c, _)| c.serving..c.serving + c.width).collect();
            columns.sort_by_key(|range| range.start);
            columns.dedup_by(|next, range| {
                let joins = range.end == next.start;
                if joins {
                    range.end = next.end;
                }
                joins
            });
            Self { table, columns, features }
        });
        let width = |ads: &Self| ads.columns.iter().map(Range::len).sum::<usize>();
        all.filter(|ads| width(ads) > 0).max_by_key(width)
    }
}

impl Assembler {
    /// The place of a candidate's row if the row alone determined the columns of `ads`; otherwise [`RowAt::NONE`].
    /// Applies to the candidate of the last call of [`Assembler::candidate`].
    #[inline]
    pub(crate) fn row_of_ad(&self, ads: &AdColumns, state: &State, passed: Passed<'_>) -> RowAt {
        if self.is_fed(state, passed, |feature| ads.features[feature as usize]) {
            return RowAt::NONE;
        }
        state.rows.plain(ads.table, passed.candidate)
    }
}
