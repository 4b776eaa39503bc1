//! What the processes say to each other: a header of 32 bytes, and behind some a payload.
//!
//! ```text
//!   0     1      2        4       8     16    24     28
//!   kind  flags  nothing  length  at    id    crc    nothing      little-endian
//! ```
//! Of a request to read, the length is what is wished; of all others, the payload's.

/// Length of a header.
pub(crate) const HEADER_BYTES: usize = 32;

/// What is asked or said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To a server: send these bytes.
    Read,
    /// To a server: store these bytes, here and down the chain.
    Write,
    /// To a server: make a record of this durable.
    Append,
    /// The bytes.
    Data,
    /// They are durable.
    Stored,
}

const KINDS: [Kind; 5] = [Kind::Read, Kind::Write, Kind::Append, Kind::Data, Kind::Stored];

/// Whether a disk has part in it. Without, only the wire is measured.
pub(crate) const DISK: u8 = 1;
/// Whether checksums are made and compared.
pub(crate) const CRC: u8 = 2;
/// Of an append: that the other servers are to have it too.
pub(crate) const SPREAD: u8 = 4;
/// Of a read from memory: that two values are looked up for it.
pub(crate) const GETS: u8 = 8;

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) len: u32,
    pub(crate) at: u64,
    pub(crate) id: u64,
    pub(crate) crc: u32,
}

impl Header {
    /// As it is sent.
    pub(crate) fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = KINDS.iter().position(|kind| *kind == self.kind).map_or(0, |at| at as u8);
        bytes[1] = self.flags;
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.at.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.id.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// The header that begins these bytes; `None`: fewer, or nothing that was sent by this program.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let long = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        Some(Self {
            kind: *KINDS.get(usize::from(*bytes.first()?))?,
            flags: *bytes.get(1)?,
            len: word(4)?,
            at: long(8)?,
            id: long(16)?,
            crc: word(24)?,
        })
        .filter(|_| bytes.len() >= HEADER_BYTES)
    }

    /// How many bytes stand behind it.
    pub(crate) fn payload(&self) -> usize {
        match self.kind {
            Kind::Write | Kind::Append | Kind::Data => self.len as usize,
            Kind::Read | Kind::Stored => 0,
        }
    }

    /// Whether a flag is set.
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_sent() {
        for kind in KINDS {
            let header = Header { kind, flags: DISK | CRC, len: 7, at: 1 << 40, id: 9, crc: 5 };
            assert_eq!(Header::read(&header.bytes()), Some(header));
            assert_eq!(Header::read(&header.bytes()[..31]), None);
        }
        assert_eq!(Header::read(&[200; 32]), None);
    }
}
