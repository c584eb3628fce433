//! The columns of each feature: in declared order outside, with the request's columns first inside.

use super::{Schema, Side};

/// The columns of one feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The first column in declared order (ready inputs, a trainer's weights).
    pub declared: usize,
    /// The first column in serving order (request side first).
    pub serving: usize,
    /// The number of columns.
    pub width: usize,
}

/// The columns of all features.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// One for each feature, in declared order.
    pub columns: Vec<Column>,
    /// The number of request-side columns: serving columns `0..request_width`.
    pub request_width: usize,
    /// The number of all columns.
    pub width: usize,
}

impl Layout {
    /// The serving column of every declared column.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn permutation(&self) -> Vec<usize> {
        let mut to = vec![0; self.width];
        for c in &self.columns {
            for i in 0..c.width {
                to[c.declared + i] = c.serving + i;
            }
        }
        to
    }
}

impl Schema {
    /// The columns of this schema, which must be valid: its widths were checked for overflow.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let widths: Vec<usize> = self.features.iter().map(|f| f.width(&self.embeddings)).collect();
        let request_width =
            self.features.iter().zip(&widths).filter(|(f, _)| f.side() == Side::Request).map(|(_, w)| w).sum();
        let (mut declared, mut request, mut candidate) = (0, 0, request_width);
        let mut columns = Vec::with_capacity(widths.len());
        for (feature, &width) in self.features.iter().zip(&widths) {
            let next = if feature.side() == Side::Request { &mut request } else { &mut candidate };
            columns.push(Column { declared, serving: *next, width });
            *next += width;
            declared += width;
        }
        Layout { columns, request_width, width: declared }
    }
}
