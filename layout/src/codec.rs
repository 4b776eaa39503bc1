//! CBOR of the nouns whose values are restricted: what decodes is valid.
//!
//! The others derive it: numbers as integers, [`ChunkId`](crate::ChunkId) and
//! [`FileLayout`](crate::FileLayout) as arrays whose further elements are skipped. Here:
//!
//! | type | written as | refused |
//! | --- | --- | --- |
//! | [`ClusterId`], [`DiskId`], [`KernelId`] | 16 bytes, big-endian | another length |
//! | [`ChunkSize`] | its logarithm to base two | outside 16 to 26 |
//! | [`BlockSize`] | its bytes | any but 4, 16 and 64 KiB |
//! | [`StripeWidth`] | an integer | 0 |

use minicbor::decode::{self, Decode, Decoder};
use minicbor::encode::{self, Encode, Encoder, Write};

use crate::{BlockSize, ChunkSize, ClusterId, DiskId, KernelId, StripeWidth};

/// Encodes through a simpler type, and decodes through a fallible constructor from it.
macro_rules! cbor_through {
    ($name:ty, $through:ty, |$value:ident| $simple:expr, |$given:ident| $make:expr, $what:literal) => {
        impl<C> Encode<C> for $name {
            fn encode<W: Write>(
                &self,
                e: &mut Encoder<W>,
                ctx: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                let $value = *self;
                let simple: $through = $simple;
                simple.encode(e, ctx)
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
                let at = d.position();
                let $given = <$through>::decode(d, ctx)?;
                $make.ok_or_else(|| decode::Error::message($what).at(at))
            }
        }
    };
}

type Bytes16 = minicbor::bytes::ByteArray<16>;

cbor_through!(
    ClusterId,
    Bytes16,
    |id| id.0.to_be_bytes().into(),
    |bytes| Some(Self(u128::from_be_bytes(bytes.into()))),
    "not a cluster id"
);
cbor_through!(
    DiskId,
    Bytes16,
    |id| id.0.to_be_bytes().into(),
    |bytes| Some(Self(u128::from_be_bytes(bytes.into()))),
    "not a disk id"
);
cbor_through!(
    KernelId,
    Bytes16,
    |id| id.0.to_be_bytes().into(),
    |bytes| Some(Self(u128::from_be_bytes(bytes.into()))),
    "not a kernel id"
);
cbor_through!(
    ChunkSize,
    u8,
    |size| size.log2(),
    |log2| Self::from_log2(log2).ok(),
    "not a chunk size"
);
cbor_through!(BlockSize, u32, |size| size.bytes(), |bytes| Self::new(bytes), "not a block size");
cbor_through!(
    StripeWidth,
    u32,
    |width| width.get(),
    |width| Self::new(width).ok(),
    "an empty stripe"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileLayout, TableId, TableVersion};
    use proptest::prelude::*;

    fn layout() -> FileLayout {
        FileLayout {
            chunk_size: ChunkSize::DEFAULT,
            stripe: StripeWidth::new(16).expect("not empty"),
            table: TableId(3),
            table_version: TableVersion(2),
            seed: u64::MAX,
        }
    }

    #[test]
    fn a_layout_is_pinned() {
        let bytes = minicbor::to_vec(layout()).expect("memory never fails");
        let golden = [0x85, 20, 16, 3, 2, 0x1b, 255, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(bytes, golden);
        assert_eq!(minicbor::decode::<FileLayout>(&bytes).expect("just written"), layout());
    }

    #[test]
    fn a_field_added_later_is_skipped() {
        let mut bytes = minicbor::to_vec(layout()).expect("memory never fails");
        bytes[0] = 0x86;
        bytes.push(7);
        assert_eq!(minicbor::decode::<FileLayout>(&bytes).expect("skipped"), layout());
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for log2 in [0_u8, 15, 27, 200] {
            let bytes = minicbor::to_vec(log2).expect("memory never fails");
            assert!(minicbor::decode::<ChunkSize>(&bytes).is_err());
        }
        assert!(minicbor::decode::<StripeWidth>(&[0]).is_err());
        assert!(minicbor::decode::<BlockSize>(&[0x19, 0x02, 0]).is_err());
        assert!(minicbor::decode::<ClusterId>(&[0x41, 0]).is_err());
    }

    proptest! {
        #[test]
        fn ids_round_trip(id: u128) {
            let bytes = minicbor::to_vec(ClusterId(id)).expect("memory never fails");
            prop_assert_eq!(minicbor::decode::<ClusterId>(&bytes).expect("just written"), ClusterId(id));
        }
    }
}
