//! Avro's binary encoding, and the header and blocks of its object container files (version 1.11).

use crc32fast::hash;

/// The mark after each block.
pub(super) type Marker = [u8; 16];

/// A record being encoded.
pub(super) trait Encode {
    fn long(&mut self, n: i64);
    fn float(&mut self, x: f32);
    fn double(&mut self, x: f64);
    fn bytes(&mut self, bytes: &[u8]);

    fn int(&mut self, n: i32) {
        self.long(n.into());
    }

    /// A count or number of this library, which all fit.
    fn count(&mut self, n: u32) {
        self.int(n as i32);
    }

    /// An id, the same 64 bits.
    fn id(&mut self, id: u64) {
        self.long(id as i64);
    }

    /// The index of `null` in a union with it.
    fn null(&mut self) {
        self.long(0);
    }

    /// An id that is null when it is 0.
    fn id_or_null(&mut self, id: u64) {
        if id == 0 {
            return self.null();
        }
        self.long(1);
        self.id(id);
    }

    fn some_long(&mut self, n: i64) {
        self.long(1);
        self.long(n);
    }

    fn some_count(&mut self, n: u32) {
        self.long(1);
        self.count(n);
    }

    /// A number that is null when it is NaN.
    fn float_or_null(&mut self, x: f32) {
        if x.is_nan() {
            return self.null();
        }
        self.long(1);
        self.float(x);
    }

    /// The same.
    fn double_or_null(&mut self, x: f64) {
        if x.is_nan() {
            return self.null();
        }
        self.long(1);
        self.double(x);
    }
}

impl Encode for Vec<u8> {
    /// Zigzag, then seven bits a byte.
    fn long(&mut self, n: i64) {
        let mut rest = (n << 1 ^ n >> 63) as u64;
        while rest >= 0x80 {
            self.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.push(rest as u8);
    }

    fn float(&mut self, x: f32) {
        self.extend_from_slice(&x.to_le_bytes());
    }

    fn double(&mut self, x: f64) {
        self.extend_from_slice(&x.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.long(bytes.len() as i64);
        self.extend_from_slice(bytes);
    }
}

/// The beginning of a file: magic, metadata, marker.
pub(super) fn header(schema: &str, metadata: &[(&str, &str)], marker: &Marker) -> Vec<u8> {
    let mut out = b"Obj\x01".to_vec();
    let own = [("avro.schema", schema), ("avro.codec", "snappy")];
    out.long((own.len() + metadata.len()) as i64);
    for (name, value) in own.iter().chain(metadata) {
        out.bytes(name.as_bytes());
        out.bytes(value.as_bytes());
    }
    out.long(0);
    out.extend_from_slice(marker);
    out
}

/// Compresses blocks.
pub(super) struct Blocks {
    snappy: snap::raw::Encoder,
    compressed: Vec<u8>,
}

impl Blocks {
    pub(super) fn new() -> Self {
        Self { snappy: snap::raw::Encoder::new(), compressed: Vec::new() }
    }

    /// Adds a block of `count` records to `out`: count, length, compressed bytes, CRC-32 of the plain ones, marker.
    pub(super) fn put(&mut self, count: u64, plain: &[u8], marker: &Marker, out: &mut Vec<u8>) {
        self.compressed.resize(snap::raw::max_compress_len(plain.len()), 0);
        // The room is what it asks for, and a block is far below the 4 GiB that it can do.
        let len = self.snappy.compress(plain, &mut self.compressed).unwrap_or(0);
        out.long(count as i64);
        out.long(len as i64 + 4);
        out.extend_from_slice(&self.compressed[..len]);
        out.extend_from_slice(&hash(plain).to_be_bytes());
        out.extend_from_slice(marker);
    }
}
