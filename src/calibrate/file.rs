//! Calibrators as a file of a bundle.

#[cfg(feature = "builder")]
use super::Calibrator;
use super::{Calibrators, Segments};
#[cfg(feature = "builder")]
use crate::artifact::container::Builder;
use crate::artifact::container::{ArtifactKind, Container};
use crate::error::Result;

/// The section that every calibrators file has.
const CALIBRATORS_SECTION: &str = "calibrators";
/// The calibrator of the product, unless it is the identity.
const PRODUCT_SECTION: &str = "product";
/// The segments, if there are any.
const SEGMENTS_SECTION: &str = "segments";

/// The bytes of a calibrators file.
#[cfg(feature = "builder")]
#[must_use]
pub fn encode_calibrators(calibrators: &Calibrators) -> Vec<u8> {
    let mut file = Builder::new(ArtifactKind::Calibrators).section(CALIBRATORS_SECTION, true, calibrators.encode());
    if calibrators.product != Calibrator::Identity {
        file = file.section(PRODUCT_SECTION, true, calibrators.encode_product());
    }
    if !calibrators.segments.keys().is_empty() {
        file = file.section(SEGMENTS_SECTION, true, calibrators.segments.encode());
    }
    file.build()
}

/// Calibrators from the bytes of a calibrators file.
///
/// # Errors
/// As [`Container::open`] and [`Calibrators::decode`].
pub fn decode_calibrators(bytes: &[u8]) -> Result<Calibrators> {
    let known = [CALIBRATORS_SECTION, PRODUCT_SECTION, SEGMENTS_SECTION];
    let container = Container::open(bytes, ArtifactKind::Calibrators, &known)?;
    let content = |name| container.find(name).map(|found| &bytes[found.offset..found.offset + found.len]);
    let section = container.require(CALIBRATORS_SECTION)?;
    let heads = Calibrators::decode(&bytes[section.offset..section.offset + section.len])?;
    Ok(Calibrators {
        product: content(PRODUCT_SECTION).map(Calibrators::decode_product).transpose()?.unwrap_or_default(),
        segments: content(SEGMENTS_SECTION).map(Segments::decode).transpose()?.unwrap_or_default(),
        ..heads
    })
}

#[cfg(all(test, feature = "builder"))]
mod tests {
    use super::super::{HeadCalibrator, PiecewiseLinear, Platt, Segment, SegmentKey};
    use super::*;
    use crate::error::Status;

    fn sample() -> Calibrators {
        let platt = |b| Calibrator::Platt(Platt::new(0.9, b).unwrap());
        let line = PiecewiseLinear::new(vec![-3.0, 0.5], vec![-2.0, 1.0]).unwrap();
        let part = |parent, value, own| Segment { parent, value, own };
        let list = vec![
            part(0, 3, [Some(platt(0.1)), None, None]),
            part(0, 1 << 40, [None, Some(Calibrator::PiecewiseLinear(line)), None]),
            part(1, 7, [None, None, Some(platt(-0.2))]),
        ];
        let keys = vec![SegmentKey::Feature("site".to_owned()), SegmentKey::Advertiser];
        Calibrators {
            ctr: HeadCalibrator::new(0.1, platt(0.0)).unwrap(),
            product: platt(0.3),
            segments: Segments::new(keys, list).unwrap(),
            ..Calibrators::default()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for calibrators in [Calibrators::default(), sample()] {
            assert_eq!(decode_calibrators(&encode_calibrators(&calibrators)).unwrap(), calibrators);
        }
    }

    #[test]
    fn damaged_sections_are_an_error_or_mean_what_they_say() {
        let (segments, product) = (sample().segments.encode(), sample().encode_product());
        for len in 0..segments.len() {
            assert_eq!(Segments::decode(&segments[..len]).unwrap_err().status, Status::Corrupt, "{len}");
        }
        let (mut refused, mut read) = (0, 0);
        for at in 0..segments.len() {
            for value in 0..=255 {
                let mut damaged = segments.clone();
                damaged[at] = value;
                match Segments::decode(&damaged) {
                    Ok(tree) => {
                        // Every accepted payload has one meaning and one encoding.
                        assert_eq!(tree.encode(), damaged, "byte {at} = {value}");
                        read += 1;
                    }
                    Err(e) => {
                        assert!(matches!(e.status, Status::Corrupt | Status::Unsupported), "{e:?}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(refused > 1000 && read > 1000, "{refused} {read}");
        for len in 0..product.len() {
            assert_eq!(Calibrators::decode_product(&product[..len]).unwrap_err().status, Status::Corrupt, "{len}");
        }
        let mut backwards = product.clone();
        backwards[8..16].copy_from_slice(&(-1.0f64).to_le_bytes());
        assert!(Calibrators::decode_product(&backwards).unwrap_err().message.contains("strictly increasing"));
    }

    #[test]
    fn errors_name_the_segment() {
        let mut bytes = sample().segments.encode();
        let at = bytes.len() - 3 * 8 - 16 - 4 - 8;
        bytes[at..at + 4].copy_from_slice(&9u32.to_le_bytes());
        let error = Segments::decode(&bytes).unwrap_err();
        assert_eq!(error.status, Status::Corrupt);
        assert!(error.message.contains("segment 3: expected a parent before it, found 9"), "{}", error.message);
        let mut bytes = sample().segments.encode();
        bytes[1] = 9;
        let error = Segments::decode(&bytes).unwrap_err();
        assert_eq!(error.status, Status::Unsupported);
        assert!(error.message.contains("key 9"), "{}", error.message);
    }
}
