//! A container put together by hand from the tables of docs/format.md, for tests that build or break files.

use adclick::builder::hash::checksum;

pub const HEADER: usize = 64;
pub const ENTRY: usize = 64;

/// A section as it is put into a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub name: String,
    pub required: bool,
    pub bytes: Vec<u8>,
}

pub fn part(name: &str, required: bool, bytes: Vec<u8>) -> Part {
    Part { name: name.to_owned(), required, bytes }
}

/// A file of the given kind (1 = model).
pub fn assemble(kind: u32, parts: &[Part]) -> Vec<u8> {
    let mut directory = Vec::new();
    let mut body = Vec::new();
    let first = HEADER + ENTRY * parts.len();
    for part in parts {
        let mut name = part.name.clone().into_bytes();
        name.resize(24, 0);
        directory.extend(name);
        directory.extend(((first + body.len()) as u64).to_le_bytes());
        directory.extend((part.bytes.len() as u64).to_le_bytes());
        directory.extend(checksum(&part.bytes).to_le_bytes());
        directory.extend(u32::from(part.required).to_le_bytes());
        directory.extend([0; 12]);
        body.extend(&part.bytes);
        while body.len() % 64 != 0 {
            body.push(0);
        }
    }
    let mut file = Vec::new();
    file.extend(b"ADCLICK\0");
    file.extend(1u32.to_le_bytes());
    file.extend(kind.to_le_bytes());
    file.extend(((first + body.len()) as u64).to_le_bytes());
    file.extend((parts.len() as u32).to_le_bytes());
    file.extend([0; 4]);
    file.extend(checksum(&directory).to_le_bytes());
    file.extend([0; 16]);
    file.extend(checksum(&file).to_le_bytes());
    file.extend(directory);
    file.extend(body);
    file
}

/// The sections of a file that [`assemble`] or the library wrote.
pub fn split(file: &[u8]) -> Vec<Part> {
    (0..u32_at(file, 24) as usize)
        .map(|i| {
            let entry = &file[HEADER + ENTRY * i..][..ENTRY];
            let name = entry[..24].iter().take_while(|&&b| b != 0).map(|&b| char::from(b)).collect();
            let (offset, len) = (u64_at(entry, 24) as usize, u64_at(entry, 32) as usize);
            Part { name, required: u32_at(entry, 48) == 1, bytes: file[offset..offset + len].to_vec() }
        })
        .collect()
}

/// Makes the header's two checksums right again.
pub fn reseal(file: &mut [u8]) {
    let end = HEADER + ENTRY * u32_at(file, 24) as usize;
    if let Some(directory) = file.get(HEADER..end) {
        let sum = checksum(directory);
        file[32..40].copy_from_slice(&sum.to_le_bytes());
    }
    reseal_header(file);
}

/// Makes the header's own checksum right again.
pub fn reseal_header(file: &mut [u8]) {
    let sum = checksum(&file[..56]);
    file[56..64].copy_from_slice(&sum.to_le_bytes());
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
