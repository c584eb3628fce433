//! The byte format of calibrators in a file.

use super::{
    Beta, Calibrator, Calibrators, HeadCalibrator, Histogram, Isotonic, PiecewiseLinear, Platt, Segment, SegmentKey,
    Segments, Temperature,
};
use crate::error::{Error, Result, Status};
use crate::wire::Reader;

const IDENTITY: u32 = 0;
const PLATT: u32 = 1;
const TEMPERATURE: u32 = 2;
const BETA: u32 = 3;
const ISOTONIC: u32 = 4;
const HISTOGRAM: u32 = 5;
const PIECEWISE_LINEAR: u32 = 6;
/// In a segment: the calibrator of the segment that it is a part of.
const INHERITED: u32 = 7;

const PLACEMENT: u8 = 0;
const ADVERTISER: u8 = 1;
const AD: u8 = 2;
const FEATURE: u8 = 3;

impl Calibrators {
    /// The payload of the calibrators' section. Equal calibrators give equal bytes. Little-endian; the pCTR head's
    /// record, then the pCVR head's, and nothing after them. A record is:
    ///
    /// | offset | bytes | type | content |
    /// | --- | --- | --- | --- |
    /// | 0 | 8 | f64 | keep rate of negative downsampling, in (0, 1]; 1 = no correction |
    /// | 8 | 4 | u32 | kind of calibrator |
    /// | 12 | 4 | u32 | n, the count of numbers that follow |
    /// | 16 | 8 n | f64 × n | the calibrator's numbers |
    ///
    /// | kind | calibrator | n | numbers |
    /// | --- | --- | --- | --- |
    /// | 0 | identity: σ(z) | 0 | |
    /// | 1 | Platt: σ(a z + b) | 2 | a, b; finite |
    /// | 2 | temperature: σ(z / T) | 1 | T; finite, above 0 |
    /// | 3 | beta: σ(a ln p − b ln(1−p) + c) | 3 | a, b, c; finite |
    /// | 4 | isotonic | 2 k, k ≥ 1 | x of the k knots, strictly ascending; then their y, not descending; all in [0, 1] |
    /// | 5 | histogram | 2 k + 1, k ≥ 1 | k + 1 edges from 0 to 1, not descending; then k values; all in [0, 1] |
    /// | 6 | piecewise linear: σ(t(z)) | 2 k, k ≥ 2 | z of the k knots; then their t; both finite and strictly ascending |
    ///
    /// z is the head's logit plus ln(keep rate), p = σ(z).
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for head in [&self.ctr, &self.cvr] {
            bytes.extend_from_slice(&head.keep_rate().to_le_bytes());
            put(head.calibrator(), &mut bytes);
        }
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// `Corrupt`: bytes missing or left over, a count that contradicts the kind, numbers outside their range.
    /// `Unsupported`: a kind that this library does not know. The message names the head and the offset.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("calibrators", bytes);
        let ctr = head(&mut reader).map_err(|e| e.within("calibrator of pCTR"))?;
        let cvr = head(&mut reader).map_err(|e| e.within("calibrator of pCVR"))?;
        reader.end()?;
        Ok(Self { ctr, cvr, ..Self::default() })
    }

    /// The payload of the section `product`: the record without a keep rate.
    #[cfg(feature = "builder")]
    pub(super) fn encode_product(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&self.product, &mut bytes);
        bytes
    }

    /// Reads what `encode_product` wrote.
    pub(super) fn decode_product(bytes: &[u8]) -> Result<Calibrator> {
        let mut reader = Reader::new("product", bytes);
        let product = calibrator(&mut reader)?;
        reader.end()?;
        if !product.is_strictly_increasing() {
            return Err(Error::corrupt(format!("section `product`: {product} is not strictly increasing")));
        }
        Ok(product)
    }
}

impl Segments {
    /// The payload of the section `segments`: keys, then segments (docs/format.md).
    #[cfg(feature = "builder")]
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.keys().len() as u8];
        for key in self.keys() {
            bytes.push(match key {
                SegmentKey::Placement => PLACEMENT,
                SegmentKey::Advertiser => ADVERTISER,
                SegmentKey::Ad => AD,
                SegmentKey::Feature(_) => FEATURE,
            });
            if let SegmentKey::Feature(name) = key {
                bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
                bytes.extend_from_slice(name.as_bytes());
            }
        }
        bytes.extend_from_slice(&(self.list().len() as u32).to_le_bytes());
        for segment in self.list() {
            bytes.extend_from_slice(&segment.parent.to_le_bytes());
            bytes.extend_from_slice(&segment.value.to_le_bytes());
            for own in &segment.own {
                match own {
                    Some(calibrator) => put(calibrator, &mut bytes),
                    None => bytes.extend_from_slice(&u64::from(INHERITED).to_le_bytes()),
                }
            }
        }
        bytes
    }

    /// Reads what `encode` wrote.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("segments", bytes);
        let keys = (0..reader.u8()?)
            .map(|_| match reader.u8()? {
                PLACEMENT => Ok(SegmentKey::Placement),
                ADVERTISER => Ok(SegmentKey::Advertiser),
                AD => Ok(SegmentKey::Ad),
                FEATURE => Ok(SegmentKey::Feature(reader.text()?.to_owned())),
                other => Err(Error::unsupported(format!(
                    "segments by the key {other} are not known to this library (it knows 0 to {FEATURE}); use a newer one"
                ))),
            })
            .collect::<Result<_>>()?;
        let n = reader.count("segments", LEAST_SEGMENT)?;
        let mut list = Vec::with_capacity(n.min(super::MAX_SEGMENTS));
        for number in 1..=n {
            let segment = segment(&mut reader);
            list.push(segment.map_err(|e| e.within(format!("segment {number}")))?);
        }
        reader.end()?;
        Self::new(keys, list).map_err(|e| Error::corrupt(format!("section `segments`: {}", e.message)))
    }
}

/// The least bytes of a segment: parent, value, and three records without numbers.
const LEAST_SEGMENT: usize = 4 + 8 + 3 * 8;

fn segment(reader: &mut Reader<'_>) -> Result<Segment> {
    let (parent, value) = (reader.u32()?, reader.u64()?);
    let mut own = [None, None, None];
    for own in &mut own {
        let mut ahead = reader.clone();
        if (ahead.u32()?, ahead.u32()?) == (INHERITED, 0) {
            *reader = ahead;
        } else {
            *own = Some(calibrator(reader)?);
        }
    }
    Ok(Segment { parent, value, own })
}

/// Writes kind, count and numbers.
#[cfg(feature = "builder")]
fn put(calibrator: &Calibrator, bytes: &mut Vec<u8>) {
    let (kind, numbers) = numbers(calibrator);
    bytes.extend_from_slice(&kind.to_le_bytes());
    // A count that does not fit cannot be read back: decoding such a file reports it.
    bytes.extend_from_slice(&u32::try_from(numbers.len()).unwrap_or(u32::MAX).to_le_bytes());
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
}

#[cfg(feature = "builder")]
fn numbers(calibrator: &Calibrator) -> (u32, Vec<f64>) {
    match calibrator {
        Calibrator::Identity => (IDENTITY, vec![]),
        Calibrator::Platt(c) => (PLATT, vec![c.a(), c.b()]),
        Calibrator::Temperature(c) => (TEMPERATURE, vec![c.t()]),
        Calibrator::Beta(c) => (BETA, vec![c.a(), c.b(), c.c()]),
        Calibrator::Isotonic(c) => (ISOTONIC, [c.x(), c.y()].concat()),
        Calibrator::Histogram(c) => (HISTOGRAM, [c.edges(), c.values()].concat()),
        Calibrator::PiecewiseLinear(c) => (PIECEWISE_LINEAR, [c.z(), c.t()].concat()),
    }
}

/// Reads one head's record.
fn head(reader: &mut Reader<'_>) -> Result<HeadCalibrator> {
    let start = reader.at();
    let keep_rate = reader.f64()?;
    let numbered = |e| of_record(e, start);
    let (kind, numbers) = record(reader)?;
    build(kind, numbers).and_then(|calibrator| HeadCalibrator::new(keep_rate, calibrator)).map_err(numbered)
}

/// Reads a calibrator without a keep rate.
fn calibrator(reader: &mut Reader<'_>) -> Result<Calibrator> {
    let start = reader.at();
    let (kind, numbers) = record(reader)?;
    build(kind, numbers).map_err(|e| of_record(e, start))
}

fn record(reader: &mut Reader<'_>) -> Result<(u32, Vec<f64>)> {
    let kind = reader.u32()?;
    let n = reader.count("numbers", size_of::<f64>())?;
    Ok((kind, (0..n).map(|_| reader.f64()).collect::<Result<_>>()?))
}

fn of_record(e: Error, start: usize) -> Error {
    let e = if e.status == Status::InvalidArgument { Error::corrupt(e.message) } else { e };
    e.within(format!("record at offset {start}"))
}

fn build(kind: u32, mut numbers: Vec<f64>) -> Result<Calibrator> {
    let n = numbers.len();
    Ok(match (kind, numbers.as_slice()) {
        (IDENTITY, []) => Calibrator::Identity,
        (PLATT, &[a, b]) => Calibrator::Platt(Platt::new(a, b)?),
        (TEMPERATURE, &[t]) => Calibrator::Temperature(Temperature::new(t)?),
        (BETA, &[a, b, c]) => Calibrator::Beta(Beta::new(a, b, c)?),
        (ISOTONIC, _) if n.is_multiple_of(2) => {
            let y = numbers.split_off(n / 2);
            Calibrator::Isotonic(Isotonic::new(numbers, y)?)
        }
        (HISTOGRAM, _) if !n.is_multiple_of(2) => {
            let values = numbers.split_off(n / 2 + 1);
            Calibrator::Histogram(Histogram::new(numbers, values)?)
        }
        (PIECEWISE_LINEAR, _) if n.is_multiple_of(2) => {
            let t = numbers.split_off(n / 2);
            Calibrator::PiecewiseLinear(PiecewiseLinear::new(numbers, t)?)
        }
        (IDENTITY..=PIECEWISE_LINEAR, _) => {
            return Err(Error::corrupt(format!("kind {kind} does not go with a count of {n} numbers")));
        }
        _ => {
            return Err(Error::unsupported(format!(
                "calibrator kind {kind} is not known to this library (it knows 0 to {PIECEWISE_LINEAR}); use a newer one"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Calibrators> {
        let head = |w, c| HeadCalibrator::new(w, c).unwrap();
        vec![
            Calibrators::default(),
            Calibrators {
                ctr: head(0.1, Calibrator::Platt(Platt::new(0.9, -0.25).unwrap())),
                cvr: head(1.0, Calibrator::Temperature(Temperature::new(1.5).unwrap())),
                ..Default::default()
            },
            Calibrators {
                ctr: head(1.0, Calibrator::Isotonic(Isotonic::new(vec![0.0, 0.1, 1.0], vec![0.01, 0.1, 0.7]).unwrap())),
                cvr: head(0.5, Calibrator::Histogram(Histogram::new(vec![0.0, 0.3, 1.0], vec![0.2, 0.6]).unwrap())),
                ..Default::default()
            },
            Calibrators {
                ctr: head(
                    1.0,
                    Calibrator::PiecewiseLinear(PiecewiseLinear::new(vec![-3.0, 0.5], vec![-2.0, 1.0]).unwrap()),
                ),
                ..Default::default()
            },
            Calibrators { ctr: head(0.3, Calibrator::Beta(Beta::new(0.5, 0.7, 0.1).unwrap())), ..Default::default() },
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        for calibrators in samples() {
            assert_eq!(Calibrators::decode(&calibrators.encode()).unwrap(), calibrators);
        }
    }

    #[test]
    fn bytes_are_as_the_table_says() {
        let bytes = samples()[1].encode();
        let mut expected = Vec::new();
        expected.extend_from_slice(&0.1_f64.to_le_bytes());
        expected.extend_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0]);
        expected.extend_from_slice(&0.9_f64.to_le_bytes());
        expected.extend_from_slice(&(-0.25_f64).to_le_bytes());
        expected.extend_from_slice(&1.0_f64.to_le_bytes());
        expected.extend_from_slice(&[2, 0, 0, 0, 1, 0, 0, 0]);
        expected.extend_from_slice(&1.5_f64.to_le_bytes());
        assert_eq!(bytes, expected);
    }

    #[test]
    fn damaged_bytes_are_an_error_or_mean_what_they_say() {
        for calibrators in samples() {
            let bytes = calibrators.encode();
            for len in 0..bytes.len() {
                assert_eq!(Calibrators::decode(&bytes[..len]).unwrap_err().status, Status::Corrupt, "{len}");
            }
            for at in 0..bytes.len() {
                for value in 0..=255 {
                    let mut damaged = bytes.clone();
                    damaged[at] = value;
                    match Calibrators::decode(&damaged) {
                        // Every accepted payload has one meaning and one encoding.
                        Ok(read) => assert_eq!(read.encode(), damaged, "byte {at} = {value}"),
                        Err(e) => assert!(!e.message.is_empty()),
                    }
                }
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            let error = Calibrators::decode(&longer).unwrap_err();
            assert_eq!(error.status, Status::Corrupt);
            assert!(error.message.contains("should end here, 1 bytes follow"), "{}", error.message);
        }
    }

    #[test]
    fn errors_say_which_head_and_where() {
        let mut bytes = Calibrators::default().encode();
        bytes[24] = 77;
        let error = Calibrators::decode(&bytes).unwrap_err();
        assert_eq!(error.status, Status::Unsupported);
        assert!(error.message.contains("pCVR") && error.message.contains("offset 16"), "{}", error.message);
        for count in [1, u32::MAX] {
            let mut bytes = Calibrators::default().encode();
            bytes[12..16].copy_from_slice(&count.to_le_bytes());
            assert_eq!(Calibrators::decode(&bytes).unwrap_err().status, Status::Corrupt);
        }
        let mut bytes = Calibrators::default().encode();
        bytes[..8].copy_from_slice(&2.0_f64.to_le_bytes());
        let error = Calibrators::decode(&bytes).unwrap_err();
        assert_eq!(error.status, Status::Corrupt);
        assert!(error.message.contains("pCTR") && error.message.contains("found 2"), "{}", error.message);
    }
}
