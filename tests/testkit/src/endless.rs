//! A bundle that takes seconds to open, for tests of what need not wait for it.

use std::fs::{self, File};
use std::path::Path;

use adclick::builder::bundle::{Entry, MANIFEST, MODEL_FILE, Manifest, Role};

/// Its name.
pub const NAME: &str = "endless";
/// Zeros that take no place on disk. Their checksum is not the manifest's, as is found out at their end.
const BYTES: u64 = 8 << 30;

/// Writes it.
pub fn write(root: &Path) {
    let at = root.join(NAME);
    fs::create_dir(&at).unwrap();
    File::create(at.join(MODEL_FILE)).unwrap().set_len(BYTES).unwrap();
    let entry = Entry { role: Role::Model, name: MODEL_FILE.to_owned(), bytes: BYTES, xxh3: 1 };
    fs::write(at.join(MANIFEST), Manifest { files: vec![entry] }.to_toml()).unwrap();
}
