//! The 64 bytes at the start of every frame.
//!
//! All numbers are little-endian. A frame is the header, then the extension area, the message and the
//! payload, each as long as the header says, without padding.
//!
//! ```text
//!   offset size
//!        0    4  magic             "EMBR"
//!        4    1  header version    1
//!        5    1  kind              1 request, 2 reply, 3 failure, 4 cancel, 5 ping, 6 pong
//!        6    2  method            of the request and its reply; 0 in cancel, ping, pong
//!        8    8  request id        chosen by the side that asks
//!       16    4  extension bytes   at most 8 KiB
//!       20    4  message bytes     at most 4 MiB
//!       24    4  payload bytes     at most 64 MiB
//!       28    4  deadline          milliseconds from arrival; 0: none
//!       32   16  trace id          0: not traced
//!       48    4  job tag           who causes the work, for accounting; 0: nobody said
//!       52    1  priority          0 ordinary; higher is served first
//!       53    3  zero
//!       56    4  body checksum     CRC-32C of extension and message
//!       60    4  header checksum   CRC-32C of bytes 0 to 59
//! ```
//!
//! The payload has no checksum here: its blocks' sums stand in the message and are checked once, where
//! the bytes are used. A deadline only saves work; no rule of safety rests on it.

use emberfs_buffer::Crc32c;
use thiserror::Error;

use crate::limits::{EXTENSION_BYTES_MAX, MESSAGE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::method::Method;

/// Length of a header.
pub const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 4] = *b"EMBR";
const VERSION: u8 = 1;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Asks for something; answered by a reply or a failure with the same id.
    Request = 1,
    /// Answers a request.
    Reply = 2,
    /// Answers a request with a [`WireError`](crate::WireError).
    Failure = 3,
    /// The asker no longer waits for this id.
    Cancel = 4,
    /// Asks whether the peer is there.
    Ping = 5,
    /// Answers a ping.
    Pong = 6,
}

/// Number of a request on its connection, unique among those of the same asker that are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What ties together all that one call of an application caused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// Who causes the work, for accounting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct JobTag(pub u32);

/// Which work goes first where there is a choice: 0 is ordinary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u8);

/// How long the asker waits, in milliseconds from the arrival of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeadlineMs(pub std::num::NonZeroU32);

/// A decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is.
    pub kind: FrameKind,
    /// Which request it belongs to by type.
    pub method: Method,
    /// Which request it belongs to by number.
    pub request: RequestId,
    /// Bytes of the extension area.
    pub extension_len: u32,
    /// Bytes of the message.
    pub message_len: u32,
    /// Bytes of the payload.
    pub payload_len: u32,
    /// How long the asker waits; `None`: for ever.
    pub deadline: Option<DeadlineMs>,
    /// What the work belongs to.
    pub trace: TraceId,
    /// Who causes it.
    pub job: JobTag,
    /// How urgent it is.
    pub priority: Priority,
    /// Checksum of extension and message.
    pub body_sum: Crc32c,
}

/// Why bytes are no frame. The connection cannot go on: nothing behind them can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The peer speaks something else.
    #[error("not an EmberFS frame: it begins with {found:02x?}")]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// The header was damaged on its way.
    #[error("frame header has checksum {found}, expected {expected}")]
    HeaderSum {
        /// What the header says.
        expected: Crc32c,
        /// What its bytes give.
        found: Crc32c,
    },
    /// The extension or message was damaged on its way.
    #[error("frame body has checksum {found}, expected {expected}")]
    BodySum {
        /// What the header says.
        expected: Crc32c,
        /// What the bytes give.
        found: Crc32c,
    },
    /// A header of another version.
    #[error("frame header version {found}, this build knows 1")]
    Version {
        /// The version found.
        found: u8,
    },
    /// A kind that this version does not know, or reserved bytes that are not zero.
    #[error("frame of unknown kind {kind} (reserved bytes {reserved:02x?})")]
    Unknown {
        /// The kind.
        kind: u8,
        /// Bytes 53 to 55.
        reserved: [u8; 3],
    },
    /// A part is larger than any may be.
    #[error("frame {part} of {len} bytes, at most {max} are allowed")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// How long it claims to be.
        len: u32,
        /// How long it may be.
        max: u32,
    },
}

impl FrameHeader {
    /// The header as it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(4, &[VERSION, self.kind as u8]);
        put(6, &self.method.get().to_le_bytes());
        put(8, &self.request.0.to_le_bytes());
        put(16, &self.extension_len.to_le_bytes());
        put(20, &self.message_len.to_le_bytes());
        put(24, &self.payload_len.to_le_bytes());
        put(28, &self.deadline.map_or(0, |d| d.0.get()).to_le_bytes());
        put(32, &self.trace.0);
        put(48, &self.job.0.to_le_bytes());
        put(52, &[self.priority.0]);
        put(56, &self.body_sum.0.to_le_bytes());
        let sum = Crc32c::of(&bytes[..60]);
        bytes[60..].copy_from_slice(&sum.0.to_le_bytes());
        bytes
    }

    /// The inverse of [`Self::to_bytes`]; every length is within its limit.
    ///
    /// # Errors
    /// [`FrameError`], of which only [`FrameError::BodySum`] cannot occur here.
    pub fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let magic = field(bytes, 0);
        if magic != MAGIC {
            return Err(FrameError::Magic { found: magic });
        }
        let (expected, found) = (Crc32c(number(bytes, 60)), Crc32c::of(&bytes[..60]));
        if expected != found {
            return Err(FrameError::HeaderSum { expected, found });
        }
        let [version, kind] = field(bytes, 4);
        if version != VERSION {
            return Err(FrameError::Version { found: version });
        }
        let reserved: [u8; 3] = field(bytes, 53);
        let known = FrameKind::from_number(kind).filter(|_| reserved == [0; 3]);
        let header = Self {
            kind: known.ok_or(FrameError::Unknown { kind, reserved })?,
            method: Method::new(u16::from_le_bytes(field(bytes, 6))),
            request: RequestId(u64::from_le_bytes(field(bytes, 8))),
            extension_len: number(bytes, 16),
            message_len: number(bytes, 20),
            payload_len: number(bytes, 24),
            deadline: std::num::NonZeroU32::new(number(bytes, 28)).map(DeadlineMs),
            trace: TraceId(field(bytes, 32)),
            job: JobTag(number(bytes, 48)),
            priority: Priority(bytes[52]),
            body_sum: Crc32c(number(bytes, 56)),
        };
        header.within_limits()
    }

    /// Compares the body's checksum with the bytes that came.
    ///
    /// # Errors
    /// [`FrameError::BodySum`] if they differ.
    pub fn check_body(&self, body: &[u8]) -> Result<(), FrameError> {
        let (expected, found) = (self.body_sum, Crc32c::of(body));
        if expected == found { Ok(()) } else { Err(FrameError::BodySum { expected, found }) }
    }

    /// Bytes of extension and message together.
    #[must_use]
    pub fn body_len(&self) -> usize {
        self.extension_len as usize + self.message_len as usize
    }

    fn within_limits(self) -> Result<Self, FrameError> {
        let parts = [
            ("extension", self.extension_len, EXTENSION_BYTES_MAX),
            ("message", self.message_len, MESSAGE_BYTES_MAX),
            ("payload", self.payload_len, PAYLOAD_BYTES_MAX),
        ];
        match parts.into_iter().find(|(_, len, max)| len > max) {
            Some((part, len, max)) => Err(FrameError::TooLarge { part, len, max }),
            None => Ok(self),
        }
    }
}

impl FrameKind {
    const ALL: [Self; 6] =
        [Self::Request, Self::Reply, Self::Failure, Self::Cancel, Self::Ping, Self::Pong];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a field within the header")
}

fn number(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn sample() -> FrameHeader {
        FrameHeader {
            kind: FrameKind::Request,
            method: Method::new(0x0102),
            request: RequestId(0x0807_0605_0403_0201),
            extension_len: 16,
            message_len: 300,
            payload_len: 1 << 20,
            deadline: std::num::NonZeroU32::new(5000).map(DeadlineMs),
            trace: TraceId(*b"0123456789abcdef"),
            job: JobTag(77),
            priority: Priority(2),
            body_sum: Crc32c(0xdead_beef),
        }
    }

    /// `bytes` changed by `edit`, with a header checksum that fits.
    fn resealed(edit: impl Fn(&mut [u8; HEADER_BYTES])) -> [u8; HEADER_BYTES] {
        let mut bytes = sample().to_bytes();
        edit(&mut bytes);
        let sum = Crc32c::of(&bytes[..60]);
        bytes[60..].copy_from_slice(&sum.0.to_le_bytes());
        bytes
    }

    #[test]
    fn the_header_is_pinned() {
        let lines: Vec<String> = sample()
            .to_bytes()
            .chunks(16)
            .map(|row| row.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(lines.join("\n") + "\n", include_str!("../golden/frame_header.txt"));
    }

    #[test]
    fn what_is_not_a_header_is_refused_by_name() {
        let refused = |bytes| FrameHeader::from_bytes(&bytes).expect_err("refused");
        assert!(matches!(refused([0; 64]), FrameError::Magic { .. }));
        assert_eq!(refused(resealed(|b| b[4] = 2)), FrameError::Version { found: 2 });
        assert!(matches!(refused(resealed(|b| b[5] = 0)), FrameError::Unknown { kind: 0, .. }));
        assert!(matches!(refused(resealed(|b| b[54] = 1)), FrameError::Unknown { .. }));
        for (at, part) in [(19, "extension"), (23, "message"), (27, "payload")] {
            let error = refused(resealed(|b| b[at] = 255));
            assert!(matches!(error, FrameError::TooLarge { part: p, .. } if p == part), "{error}");
        }
    }

    #[test]
    fn a_body_must_have_its_checksum() {
        let header = FrameHeader { body_sum: Crc32c::of(b"body"), ..sample() };
        assert_eq!(header.check_body(b"body"), Ok(()));
        assert!(matches!(header.check_body(b"bodi"), Err(FrameError::BodySum { .. })));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_never_passes(bit in 0_usize..512) {
            let mut bytes = sample().to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(FrameHeader::from_bytes(&bytes).is_err());
        }

        #[test]
        fn any_bytes_decode_to_what_encodes_back(random in prop::collection::vec(any::<u8>(), 64)) {
            let bytes = resealed(|b| {
                b[6..53].copy_from_slice(&random[6..53]);
                b[56..60].copy_from_slice(&random[56..60]);
            });
            if let Ok(header) = FrameHeader::from_bytes(&bytes) {
                prop_assert_eq!(header.to_bytes(), bytes);
            }
        }
    }
}
