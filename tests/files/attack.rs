//! What the attacks share: the file, how it is opened and used, and a look at what that asks of the allocator.

use std::sync::OnceLock;

use adclick::builder::artifact::Bytes;
use adclick::builder::artifact::model::{Model, write};
use adclick::builder::infer::Weights;
use adclick::builder::infer::reference::reference_logits;
use adclick::builder::schema::{KeyPart, Lookup};
use adclick::{Error, Status};

use crate::sample::{self, everything};
use testkit::allocator;
use testkit::container::{assemble, split};

/// The most that opening and using a file may ask for at once.
const LIMIT: usize = 64 << 20;

/// The file that is attacked: all cross layers, tables of all kinds, goldens, histograms.
pub(crate) fn file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let (spec, expected) = sample::model(&everything());
        assert!(spec.schema.embeddings.iter().any(|e| e.wide));
        assert!(spec.schema.features.iter().any(|f| f.position.is_some()));
        let (keys, bindings) = (spec.enrichment.tables.iter().flat_map(|t| &t.key), &spec.enrichment.bindings);
        assert!(keys.clone().any(|part| matches!(part, KeyPart::Column(_))) && keys.count() > 6);
        assert!(bindings.iter().any(|b| matches!(b.lookup, Lookup::Similarity { .. })));
        assert!(bindings.iter().any(|b| b.lookup.columns().any(|c| c.position.is_some())));
        assert!(spec.goldens.iter().any(|g| g.values.len() > 2));
        write(&spec, &expected).unwrap()
    })
}

/// Opens a file and uses what came out. An error must say where it is.
pub(crate) fn open(file: &[u8]) -> Result<Model, Error> {
    allocator::forget_largest();
    let result = Model::open(Bytes::copy_of(file).unwrap());
    match &result {
        Ok(model) => exercise(model),
        Err(e) => {
            let place = ["header", "directory", "section `"].iter().any(|p| e.message.starts_with(p));
            let offset = e.message.split("offset ").nth(1).is_some_and(|o| o.starts_with(|c: char| c.is_ascii_digit()));
            assert!(place && offset, "no place in: {}", e.message);
            assert!(matches!(e.status, Status::Corrupt | Status::Unsupported), "{e:?}");
        }
    }
    let largest = allocator::largest();
    assert!(largest <= LIMIT, "{largest} bytes were allocated at once");
    result
}

pub(crate) fn refused(file: &[u8], what: &str) -> Error {
    open(file).err().unwrap_or_else(|| panic!("{what}: accepted"))
}

/// Every accessor, and the whole network once.
pub(crate) fn exercise(model: &Model) {
    for (n, e) in (0u32..).zip(&model.schema().embeddings) {
        for id in [0, 1, 17, u64::from(e.index.count()), u64::MAX].into_iter().chain(model.vocabulary(n)) {
            if let (Some(row), _) = model.row(n, id) {
                assert_eq!(model.embedding_row(n, row).len(), e.dim as usize);
                let heads = model.network().heads.len();
                assert_eq!(model.wide_row(n, row).len(), if e.wide { heads } else { 0 });
            }
        }
    }
    let weights = Weights { panels: model.weights(), params: model.params() };
    let mut logits = vec![0.0; model.network().heads.len()];
    reference_logits(model.network(), weights, &vec![0.5; model.layout().width], &mut logits).unwrap();
}

/// A file with one section's bytes replaced, all checksums right.
pub(crate) fn with(file: &[u8], name: &str, bytes: Vec<u8>) -> Vec<u8> {
    let mut parts = split(file);
    parts.iter_mut().find(|p| p.name == name).unwrap().bytes = bytes;
    assemble(1, &parts)
}

pub(crate) fn bytes_of(file: &[u8], name: &str) -> Vec<u8> {
    split(file).into_iter().find(|p| p.name == name).unwrap().bytes
}

pub(crate) fn field(bytes: &[u8], at: usize, width: usize) -> u64 {
    let mut word = [0; 8];
    word[..width].copy_from_slice(&bytes[at..at + width]);
    u64::from_le_bytes(word)
}

pub(crate) fn put(bytes: &mut [u8], at: usize, width: usize, value: u64) {
    bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

/// 0, 1, max, max - 1, the sign bit, and the neighbours.
pub(crate) fn values(old: u64) -> [u64; 9] {
    let top = 1 << 63;
    [0, 1, u64::MAX, u64::MAX - 1, top, 1 << 31, old.wrapping_add(1), old.wrapping_sub(1), old.wrapping_mul(2)]
}
