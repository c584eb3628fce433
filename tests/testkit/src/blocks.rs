//! Random blocks of columns, and the same by values.

use adclick::{Columns, Value};

use crate::common::{Case, IDS, Random, chance, id};

/// Columns and what stands in them.
#[derive(Clone, Debug, Default)]
pub struct Block {
    pub id_features: Vec<u32>,
    pub ids: Vec<u64>,
    pub number_features: Vec<u32>,
    pub numbers: Vec<f32>,
    pub missing_id: Option<u64>,
}

impl Block {
    /// Of some handles that the case uses on either side, and one that nothing reads; some of them twice.
    pub fn new(random: &mut Random, case: &Case) -> Self {
        let mut handles: Vec<u32> =
            case.values.iter().chain(&case.candidate_values).map(|value| value.feature).chain([u32::MAX]).collect();
        handles.sort_unstable();
        handles.dedup();
        let mut some = |most| -> Vec<u32> {
            (0..random.between(0, most)).map(|_| handles[random.between(0, handles.len() - 1)]).collect()
        };
        let (id_features, number_features) = (some(6), some(5));
        let missing_id = chance(random, 70).then(|| id(random.next_u64() % IDS));
        let ids = (0..case.n() * id_features.len()).map(|_| match (random.between(0, 5), missing_id) {
            (0, Some(missing)) => missing,
            (1, _) => random.next_u64(),
            _ => id(random.next_u64() % IDS),
        });
        let ids = ids.collect();
        let numbers = (0..case.n() * number_features.len()).map(|_| match random.between(0, 5) {
            0 => f32::NAN,
            1 => 0.0,
            _ => random.number() as f32,
        });
        let numbers = numbers.collect();
        Self { id_features, ids, number_features, numbers, missing_id }
    }

    pub fn columns(&self) -> Columns<'_> {
        let Self { id_features, ids, number_features, numbers, missing_id } = self;
        Columns { id_features, ids, number_features, numbers, missing_id: *missing_id }
    }

    /// A candidate's cells as the values that they stand for.
    pub fn values(&self, candidate: usize) -> Vec<Value> {
        let ids = &self.ids[candidate * self.id_features.len()..];
        let numbers = &self.numbers[candidate * self.number_features.len()..];
        let ids = self.id_features.iter().zip(ids).filter(|(_, id)| Some(**id) != self.missing_id);
        let numbers = self.number_features.iter().zip(numbers).filter(|(_, number)| !number.is_nan());
        ids.map(|(&feature, &id)| Value { feature, number: 0.0, id })
            .chain(numbers.map(|(&feature, &number)| Value { feature, number, id: 0 }))
            .collect()
    }

    /// The same request without columns: the values that they stand for, and then each candidate's own.
    pub fn by_values(&self, case: &Case) -> Case {
        let mut by_values = Case { request: case.request, values: case.values.clone(), ..Case::default() };
        for i in 0..case.n() {
            by_values.push(case.candidates[i], &[&self.values(i), case.values_of(i)].concat());
        }
        by_values
    }
}
