//! Structs to CBOR (RFC 8949) and back.
//!
//! Structs are arrays of numbered fields, enums pairs of a number and such an array: the conventions
//! of `minicbor`. No message type contains itself, so decoding needs no bound on depth; every element
//! of a list takes at least one byte of input, so a list of numbers never takes more memory than a
//! small multiple of [`limits::MESSAGE_BYTES_MAX`](crate::limits::MESSAGE_BYTES_MAX). Lists of larger
//! elements have a limit of their own (`list`).

use minicbor::{Decode, Decoder, Encode};
use thiserror::Error;

/// Bytes that are not the expected message.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Not CBOR, a field is missing or of another type, or a value is out of its range.
    #[error("not a {what}: {source}")]
    Malformed {
        /// The expected type.
        what: &'static str,
        /// What is wrong, and where.
        source: minicbor::decode::Error,
    },
    /// The message is followed by something else.
    #[error("{extra} bytes follow a {what}")]
    Trailing {
        /// The expected type.
        what: &'static str,
        /// How many.
        extra: usize,
    },
}

/// Writes `message` behind what `into` holds.
pub fn encode<T: Encode<()>>(message: &T, into: &mut Vec<u8>) {
    minicbor::encode(message, into).expect("writing to memory does not fail");
}

/// Reads one message that fills `bytes` exactly.
///
/// # Errors
/// [`DecodeError`] for anything else.
pub fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, DecodeError> {
    let what = short_name::<T>();
    let mut decoder = Decoder::new(bytes);
    let message = decoder.decode().map_err(|source| DecodeError::Malformed { what, source })?;
    match bytes.len() - decoder.position() {
        0 => Ok(message),
        extra => Err(DecodeError::Trailing { what, extra }),
    }
}

/// Decodes a list of at most `MAX` elements: a hostile one is refused before it takes memory.
///
/// # Errors
/// When there are more, or one of them is malformed.
pub(crate) fn list<'b, const MAX: usize, C, T: Decode<'b, C>>(
    d: &mut Decoder<'b>,
    ctx: &mut C,
) -> Result<Vec<T>, minicbor::decode::Error> {
    let at = d.position();
    let mut list = Vec::new();
    for element in d.array_iter_with(ctx)? {
        if list.len() == MAX {
            return Err(minicbor::decode::Error::message("a list is longer than it may be").at(at));
        }
        list.push(element?);
    }
    Ok(list)
}

/// The name of a type without its path.
fn short_name<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_at_its_limit() {
        let some = |len: u8| minicbor::to_vec(vec![7_u8; len.into()]).expect("memory never fails");
        let read = |bytes: &[u8]| list::<20, _, u8>(&mut Decoder::new(bytes), &mut ());
        assert_eq!(read(&some(20)).expect("at the limit"), [7; 20]);
        assert!(read(&some(21)).is_err());
        assert!(read(&[&[0x9f][..], &[7; 21], &[0xff]].concat()).is_err(), "of unknown length");
    }

    #[test]
    fn errors_name_what_was_expected() {
        let error = decode::<crate::Tag>(&[0xff]).expect_err("no array");
        assert!(error.to_string().starts_with("not a Tag: "), "{error}");
        let mut bytes = Vec::new();
        encode(&crate::Tag::default(), &mut bytes);
        bytes.push(0);
        let error = decode::<crate::Tag>(&bytes).expect_err("trailing");
        assert_eq!(error.to_string(), "1 bytes follow a Tag");
    }
}
