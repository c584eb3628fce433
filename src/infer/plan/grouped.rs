//! Copies of the weights of layers after a ReLU, whose inputs are often 0: see `kernel/skip.rs`.

use crate::artifact::model::network::{LANES, Network, Panels};
use crate::artifact::model::spec::Activation;
use crate::infer::kernel::{Kernel, LEAST_PANELS};
use crate::infer::scratch::Arena;

/// The copies.
#[derive(Debug, Default)]
pub(super) struct Grouped {
    /// The matrices of the model, with the start of each one's copy.
    matrices: Vec<(Panels, usize)>,
    copies: Arena,
}

impl Grouped {
    /// Copies from `panels`, the model's in f32.
    pub(super) fn new(network: &Network, panels: &[f32], kernel: &Kernel) -> Self {
        let mut len = 0;
        let mut matrices = Vec::new();
        for matrix in behind_relu(network) {
            matrices.push((matrix, len));
            len += matrix.len();
        }
        let mut copies = Arena::new(len);
        for (matrix, start) in &matrices {
            let copy = &mut copies.values_mut()[*start..start + matrix.len()];
            kernel.group(&panels[matrix.start..matrix.start + matrix.len()], matrix.inputs, copy);
        }
        Self { matrices, copies }
    }

    /// The copy of a matrix of the model, if there is one.
    pub(super) fn of(&self, panels: &Panels) -> Option<&[f32]> {
        let (matrix, start) = self.matrices.iter().find(|(matrix, _)| matrix.start == panels.start)?;
        Some(&self.copies.values()[*start..start + matrix.len()])
    }
}

/// Matrices of dense layers that read the output of a ReLU and are wide enough to pay.
pub(super) fn behind_relu(network: &Network) -> impl Iterator<Item = Panels> {
    let chains = std::iter::once(&network.deep).chain(network.heads.iter().map(|head| &head.tower));
    let pairs = chains.flat_map(|chain| chain.windows(2));
    let behind = pairs.filter(|pair| pair[0].activation == Activation::Relu).map(|pair| pair[1].weight);
    behind.filter(|panels| panels.inputs > 0 && panels.outputs.div_ceil(LANES) >= LEAST_PANELS)
}
