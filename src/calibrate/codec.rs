//! The byte format of calibrators in a file.

use super::{Beta, Calibrator, Calibrators, HeadCalibrator, Histogram, Isotonic, Platt, Temperature};
use crate::error::{Error, Result, Status};
use crate::wire::Reader;

const IDENTITY: u32 = 0;
const PLATT: u32 = 1;
const TEMPERATURE: u32 = 2;
const BETA: u32 = 3;
const ISOTONIC: u32 = 4;
const HISTOGRAM: u32 = 5;

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
    ///
    /// z is the head's logit plus ln(keep rate), p = σ(z).
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for head in [&self.ctr, &self.cvr] {
            let (kind, numbers) = numbers(head.calibrator());
            bytes.extend_from_slice(&head.keep_rate().to_le_bytes());
            bytes.extend_from_slice(&kind.to_le_bytes());
            // A count that does not fit cannot be read back: decoding such a file reports it.
            bytes.extend_from_slice(&u32::try_from(numbers.len()).unwrap_or(u32::MAX).to_le_bytes());
            for number in numbers {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
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
        Ok(Self { ctr, cvr })
    }
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
    }
}

/// Reads one head's record.
fn head(reader: &mut Reader<'_>) -> Result<HeadCalibrator> {
    let start = reader.at();
    let (keep_rate, kind) = (reader.f64()?, reader.u32()?);
    let n = reader.count("numbers", size_of::<f64>())?;
    let numbers = (0..n).map(|_| reader.f64()).collect::<Result<_>>()?;
    let built = build(kind, numbers).and_then(|calibrator| HeadCalibrator::new(keep_rate, calibrator));
    built.map_err(|e| {
        let e = if e.status == Status::InvalidArgument { Error::corrupt(e.message) } else { e };
        e.within(format!("record at offset {start}"))
    })
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
        (IDENTITY..=HISTOGRAM, _) => {
            return Err(Error::corrupt(format!("kind {kind} does not go with a count of {n} numbers")));
        }
        _ => {
            return Err(Error::unsupported(format!(
                "calibrator kind {kind} is not known to this library (it knows 0 to {HISTOGRAM}); use a newer one"
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
            },
            Calibrators {
                ctr: head(1.0, Calibrator::Isotonic(Isotonic::new(vec![0.0, 0.1, 1.0], vec![0.01, 0.1, 0.7]).unwrap())),
                cvr: head(0.5, Calibrator::Histogram(Histogram::new(vec![0.0, 0.3, 1.0], vec![0.2, 0.6]).unwrap())),
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
