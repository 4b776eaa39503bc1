//! Structs to CBOR (RFC 8949) and back.
//!
//! Structs are arrays of numbered fields, enums pairs of a number and such an array: the conventions
//! of `minicbor`. No message type contains itself, so decoding needs no bound on depth; every element
//! of a list takes at least one byte of input, so a list never takes more memory than a fixed multiple
//! of [`limits::MESSAGE_BYTES_MAX`](crate::limits::MESSAGE_BYTES_MAX).

use minicbor::{Decode, Encode};
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
    let mut decoder = minicbor::Decoder::new(bytes);
    let message = decoder.decode().map_err(|source| DecodeError::Malformed { what, source })?;
    match bytes.len() - decoder.position() {
        0 => Ok(message),
        extra => Err(DecodeError::Trailing { what, extra }),
    }
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
