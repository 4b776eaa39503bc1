//! The extension area of a frame: what any message may carry beside itself.
//!
//! A CBOR array of numbered fields like any message, absent when all are empty. New fields arrive here
//! without a new header.

use minicbor::{Decode, Encode};

/// What the extension area holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Extension {
    /// Who the sender is, provably: empty until authentication exists.
    #[cbor(n(0), with = "minicbor::bytes", default)]
    pub credential: Vec<u8>,
}

impl Extension {
    /// The bytes of the area: none if there is nothing to say.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if *self != Self::default() {
            crate::encode(self, &mut bytes);
        }
        bytes
    }

    /// The inverse of [`Self::to_bytes`].
    ///
    /// # Errors
    /// When the bytes are neither none nor an extension.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, crate::DecodeError> {
        if bytes.is_empty() { Ok(Self::default()) } else { crate::decode(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_say_takes_no_bytes() {
        assert_eq!(Extension::default().to_bytes(), []);
        assert_eq!(Extension::from_bytes(&[]).expect("empty"), Extension::default());
        let extension = Extension { credential: vec![1, 2] };
        assert_eq!(Extension::from_bytes(&extension.to_bytes()).expect("written"), extension);
        assert_eq!(Extension::from_bytes(&[0x80]).expect("no fields"), Extension::default());
    }
}
