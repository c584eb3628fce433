//! Calibrators as a file of a bundle.

use super::Calibrators;
#[cfg(feature = "builder")]
use crate::artifact::container::Builder;
use crate::artifact::container::{ArtifactKind, Container};
use crate::error::Result;

/// The one section of a calibrators file.
const CALIBRATORS_SECTION: &str = "calibrators";

/// The bytes of a calibrators file.
#[cfg(feature = "builder")]
#[must_use]
pub fn encode_calibrators(calibrators: &Calibrators) -> Vec<u8> {
    Builder::new(ArtifactKind::Calibrators).section(CALIBRATORS_SECTION, true, calibrators.encode()).build()
}

/// Calibrators from the bytes of a calibrators file.
///
/// # Errors
/// As [`Container::open`] and [`Calibrators::decode`].
pub(crate) fn decode_calibrators(bytes: &[u8]) -> Result<Calibrators> {
    let container = Container::open(bytes, ArtifactKind::Calibrators, &[CALIBRATORS_SECTION])?;
    let section = container.require(CALIBRATORS_SECTION)?;
    Calibrators::decode(&bytes[section.offset..section.offset + section.len])
}
