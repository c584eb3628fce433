//! The rules of an enrichment, for one made by a packer and one from a file alike.

use std::collections::HashSet;

use super::{Binding, ColumnUse, Enrichment, KeyPart, Lookup, TableUse};
use crate::error::{Error, Result};
use crate::schema::{Feature, Kind, Schema, Side, Source, check_name};

/// The most tables a model may read.
pub const MAX_TABLES: usize = 64;
/// The most ids of a key.
pub const MAX_KEY_PARTS: usize = 4;

impl Enrichment {
    /// Checks everything that does not depend on the tables themselves.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the table or feature, what was found and what is allowed.
    pub fn validate(&self, schema: &Schema) -> Result<()> {
        if self.tables.len() > MAX_TABLES {
            return refuse(format!("{} tables, at most {MAX_TABLES}", self.tables.len()));
        }
        let mut names = HashSet::new();
        for table in &self.tables {
            check_name("table", &table.name)?;
            if !names.insert(table.name.as_str()) {
                return refuse(format!("table `{}` is named twice", table.name));
            }
            self.validate_key(table).map_err(|e| e.within(format_args!("key of table `{}`", table.name)))?;
        }
        for pair in self.bindings.windows(2) {
            if pair[0].feature >= pair[1].feature {
                return refuse(format!(
                    "a binding of feature {} follows one of feature {}, expected one each, in the features' order",
                    pair[1].feature, pair[0].feature
                ));
            }
        }
        for binding in &self.bindings {
            let Some(feature) = schema.features.get(binding.feature as usize) else {
                let (number, n) = (binding.feature, schema.features.len());
                return refuse(format!("a binding of feature {number}, there are {n} features"));
            };
            self.validate_binding(binding, feature)
                .map_err(|e| e.within(format_args!("binding of feature `{}`", feature.name)))?;
        }
        self.validate_use()
    }

    fn validate_key(&self, table: &TableUse) -> Result<()> {
        if table.key.is_empty() || table.key.len() > MAX_KEY_PARTS {
            return refuse(format!("{} ids, expected 1 to {MAX_KEY_PARTS}", table.key.len()));
        }
        for part in &table.key {
            let KeyPart::Column(column) = part else { continue };
            let of = self.table(column)?;
            if of.key.iter().any(|part| matches!(part, KeyPart::Column(_))) {
                return refuse(format!(
                    "it reads column `{}` of table `{}`, whose own key reads a column: one step is the most",
                    column.column, of.name
                ));
            }
            if column.position.is_some() {
                return refuse(format!("column `{}` is an id, which has no position", column.column));
            }
        }
        Ok(())
    }

    fn validate_binding(&self, binding: &Binding, feature: &Feature) -> Result<()> {
        if feature.source == Source::Time || feature.position.is_some() {
            return refuse("time and position features read no table".to_owned());
        }
        let one_number = match &feature.kind {
            Kind::Number { .. } => true,
            Kind::Category { boundaries, .. } => !boundaries.is_empty(),
            Kind::MultiCategory { .. } | Kind::Vector { .. } => false,
        };
        match &binding.lookup {
            Lookup::Column(column) => {
                let table = self.table(column)?;
                if feature.source == Source::Dot {
                    return refuse("a feature of source dot is a similarity, not a column".to_owned());
                }
                if self.side(column.table as usize) != feature.side() {
                    return refuse(format!(
                        "its source is {:?}, of the {} side, and table `{}` has its keys from the {} side",
                        feature.source,
                        name(feature.side()),
                        table.name,
                        name(self.side(column.table as usize))
                    ));
                }
                if let (Some(position), false) = (column.position, one_number) {
                    return refuse(format!(
                        "it reads position {position} of column `{}`: only a number, or a category with boundaries, \
                         reads one value of a vector",
                        column.column
                    ));
                }
            }
            Lookup::Similarity { left, right, .. } => {
                if feature.source != Source::Dot || !one_number {
                    return refuse(
                        "a similarity is for a feature of source dot that is a number, or a category with boundaries"
                            .to_owned(),
                    );
                }
                for column in [left, right] {
                    self.table(column)?;
                    if column.position.is_some() {
                        return refuse(format!("a similarity reads column `{}` whole, not a position", column.column));
                    }
                }
            }
        }
        Ok(())
    }

    /// A table that nothing reads would cost every request a lookup.
    fn validate_use(&self) -> Result<()> {
        let mut read = vec![false; self.tables.len()];
        for column in self.bindings.iter().flat_map(|b| b.lookup.columns()) {
            read[column.table as usize] = true;
        }
        // Keys go one level deep, so one pass over the tables that are read finds all of them.
        for (i, table) in self.tables.iter().enumerate() {
            for part in &table.key {
                if let (KeyPart::Column(column), true) = (part, read[i]) {
                    read[column.table as usize] = true;
                }
            }
        }
        match read.iter().position(|read| !read) {
            None => Ok(()),
            Some(i) => refuse(format!("table `{}` is read by no feature: leave it out", self.tables[i].name)),
        }
    }

    fn table(&self, column: &ColumnUse) -> Result<&TableUse> {
        check_name("column", &column.column)?;
        self.tables.get(column.table as usize).ok_or_else(|| {
            let (number, n) = (column.table, self.tables.len());
            Error::argument(format!("column `{}` of table number {number}, there are {n} tables", column.column))
        })
    }
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Request => "request's",
        Side::Candidate => "candidate's",
    }
}

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::argument(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Embedding, Index, Measure, Pooling, Transform};

    fn column(table: u32, column: &str) -> ColumnUse {
        ColumnUse { table, column: column.to_owned(), position: None }
    }

    fn table(name: &str, key: &[KeyPart]) -> TableUse {
        TableUse { name: name.to_owned(), key: key.to_vec() }
    }

    fn bind(feature: u32, column: ColumnUse) -> Binding {
        Binding { feature, lookup: Lookup::Column(column) }
    }

    fn similarity(feature: u32, left: ColumnUse, right: ColumnUse) -> Binding {
        Binding { feature, lookup: Lookup::Similarity { left, right, measure: Measure::Dot } }
    }

    fn schema() -> Schema {
        let number = || Kind::Number { transform: Transform::default(), default: 0.0 };
        let feature = |name: &str, source, kind| Feature {
            name: name.to_owned(),
            input: if source == Source::Time { "hour".to_owned() } else { name.to_owned() },
            source,
            kind,
            position: None,
        };
        let mut features = vec![
            feature("u", Source::User, number()),
            feature("a", Source::Ad, Kind::Vector { dim: 2 }),
            feature("x", Source::Cross, Kind::MultiCategory { embedding: 0, pooling: Pooling::Sum }),
            feature("d", Source::Dot, number()),
            feature("t", Source::Time, number()),
            feature("p", Source::Candidate, number()),
        ];
        features[5].position = Some(1.0);
        let e = Embedding {
            name: "e".to_owned(),
            index: Index::Hashed { buckets: 4 },
            dim: 1,
            unknown_row: false,
            missing_row: false,
            wide: false,
        };
        let schema = Schema { features, embeddings: vec![e] };
        schema.validate().unwrap();
        schema
    }

    fn good() -> Enrichment {
        Enrichment {
            tables: vec![
                table("users", &[KeyPart::User]),
                table("ads", &[KeyPart::Ad]),
                table("pairs", &[KeyPart::User, KeyPart::Column(column(1, "category"))]),
            ],
            bindings: vec![
                bind(0, ColumnUse { position: Some(3), ..column(0, "rate") }),
                bind(1, column(1, "vector")),
                bind(2, column(2, "ids")),
                similarity(3, column(0, "vector"), column(1, "vector")),
            ],
        }
    }

    #[test]
    fn sides_follow_from_keys() {
        let mut e = good();
        e.tables.push(table("regions", &[KeyPart::Placement, KeyPart::Column(column(0, "country"))]));
        e.bindings[0] = bind(0, column(3, "rate"));
        e.validate(&schema()).unwrap();
        let sides = [0, 1, 2, 3].map(|t| e.side(t));
        assert_eq!(sides, [Side::Request, Side::Candidate, Side::Candidate, Side::Request]);
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        let refused = |change: &dyn Fn(&mut Enrichment), expected: &str| {
            let mut e = good();
            change(&mut e);
            let message = e.validate(&schema()).unwrap_err().message;
            assert!(message.contains(expected), "{message}, expected {expected}");
        };
        good().validate(&schema()).unwrap();
        refused(&|e| e.tables[1].name = "users".to_owned(), "table `users` is named twice");
        refused(&|e| e.tables[1].name.clear(), "table name");
        refused(&|e| e.tables[1].key.clear(), "key of table `ads`: 0 ids");
        refused(&|e| e.tables[1].key = vec![KeyPart::Ad; 5], "key of table `ads`: 5 ids");
        refused(&|e| e.tables[1].key = vec![KeyPart::Column(column(2, "c"))], "whose own key reads a column");
        refused(&|e| e.tables[1].key = vec![KeyPart::Column(column(1, "c"))], "whose own key reads a column");
        refused(&|e| e.tables[1].key = vec![KeyPart::Column(column(3, "c"))], "table number 3, there are 3");
        refused(&|e| e.tables[1].key = vec![KeyPart::Column(column(0, ""))], "column name");
        let at = ColumnUse { position: Some(0), ..column(1, "category") };
        refused(&|e| e.tables[2].key[1] = KeyPart::Column(at.clone()), "which has no position");
        let more: Vec<_> = (0..62).map(|i| table(&format!("t{i}"), &[KeyPart::Ad])).collect();
        refused(&|e| e.tables.extend(more.iter().cloned()), "65 tables");
        refused(&|e| e.tables.push(more[0].clone()), "table `t0` is read by no feature");
        refused(&|e| e.bindings.swap(0, 1), "a binding of feature 0 follows one of feature 1");
        refused(&|e| e.bindings[1].feature = 0, "a binding of feature 0 follows one of feature 0");
        refused(&|e| e.bindings[3].feature = 6, "a binding of feature 6, there are 6");
        refused(&|e| e.bindings[3] = bind(4, column(0, "r")), "feature `t`: time and position features");
        refused(&|e| e.bindings[3] = bind(5, column(1, "r")), "feature `p`: time and position features");
        refused(&|e| e.bindings[3] = bind(3, column(1, "r")), "feature `d`: a feature of source dot");
        refused(&|e| e.bindings[0] = bind(0, column(1, "r")), "feature `u`: its source is User");
        refused(&|e| e.bindings[1] = bind(1, column(0, "r")), "feature `a`: its source is Ad");
        refused(&|e| e.bindings[1] = bind(1, column(7, "r")), "table number 7, there are 3");
        refused(&|e| e.bindings[1] = bind(1, at.clone()), "feature `a`: it reads position 0");
        refused(&|e| e.bindings[2] = similarity(2, column(0, "v"), column(1, "v")), "feature `x`: a similarity");
        refused(&|e| e.bindings[3] = similarity(3, column(0, "v"), at.clone()), "whole, not a position");
    }
}
