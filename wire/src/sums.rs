//! How a message describes the bytes of a payload.
//!
//! The message carries place, length and one checksum for each piece of the block grid; the bytes
//! themselves follow the message in the frame. [`PayloadSums::bind`] brings both together as an
//! [`Unchecked`], which cannot be read before it is checked.

use bytes::Bytes;
use emberfs_buffer::{Crc32c, Malformed, Payload, Unchecked, Unfit, check_in_place};
use emberfs_layout::{BlockSize, ChunkOffset};
use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

/// Place, length and checksums of some bytes of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PayloadSums {
    /// Where in the chunk the bytes begin.
    #[n(0)]
    pub start: ChunkOffset,
    /// How many there are.
    #[n(1)]
    pub len: ChunkOffset,
    /// The chunk's block size.
    #[n(2)]
    pub block: BlockSize,
    /// One checksum a piece, in order.
    #[n(3)]
    pub sums: SumList,
}

/// Checksums, written as one byte string of four bytes each, little-endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SumList(pub Vec<Crc32c>);

impl PayloadSums {
    /// Describes `payload`.
    #[must_use]
    pub fn of(payload: &Payload) -> Self {
        Self {
            start: payload.start(),
            len: ChunkOffset(payload.end().get() - payload.start().get()),
            block: payload.block_size(),
            sums: SumList(payload.sums().to_vec()),
        }
    }

    /// The described bytes, still to be checked.
    ///
    /// # Errors
    /// [`Malformed`] if `bytes` are not as many as described, or not with as many sums.
    pub fn bind(&self, bytes: Bytes) -> Result<Unchecked, Malformed> {
        self.counts(bytes.len())?;
        Unchecked::new(bytes, self.start, self.block, self.sums.0.as_slice())
    }

    /// Compares `bytes`, which came straight to where they are wanted, with what is described.
    ///
    /// # Errors
    /// [`Unfit`]; the bytes are not to be used then.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Unfit> {
        self.counts(bytes.len())?;
        check_in_place(bytes, self.start, self.block, &self.sums.0)
    }

    fn counts(&self, len: usize) -> Result<(), Malformed> {
        let (start, sums) = (self.start, self.sums.0.len());
        match len == self.len.get() as usize {
            true => Ok(()),
            false => Err(Malformed { start, len, sums, expected: 0 }),
        }
    }
}

impl<C> Encode<C> for SumList {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|sum| sum.0.to_le_bytes()).collect();
        e.bytes(&bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SumList {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let (sums, rest) = d.bytes()?.as_chunks();
        if !rest.is_empty() {
            return Err(decode::Error::message("checksums of other than four bytes").at(at));
        }
        Ok(Self(sums.iter().map(|sum| Crc32c(u32::from_le_bytes(*sum))).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_described_payload_binds_to_its_bytes_alone(
            start in 0_u32..10_000,
            bytes in prop::collection::vec(any::<u8>(), 1..10_000),
        ) {
            let bytes = Bytes::from(bytes);
            let payload = Payload::compute(bytes.clone(), ChunkOffset(start), BlockSize::MIN);
            let described = PayloadSums::of(&payload.expect("fits"));
            let mut encoded = Vec::new();
            crate::encode(&described, &mut encoded);
            let decoded: PayloadSums = crate::decode(&encoded).expect("just written");
            prop_assert_eq!(&decoded, &described);
            prop_assert!(decoded.bind(bytes.clone()).expect("fits").check().is_ok());
            prop_assert!(decoded.bind(bytes.slice(1..)).is_err());
            prop_assert_eq!(decoded.check(&bytes), Ok(()));
            prop_assert!(decoded.check(&bytes[1..]).is_err());
        }
    }
}
