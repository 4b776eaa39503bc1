//! Numbers and names as they lie in memory, one behind the other.

use thiserror::Error;

/// A request that ends too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a request of the kernel's that is shorter than its kind")]
pub(in crate::session) struct Malformed;

/// What is left to be read of a request.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(in crate::session) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_ne_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_ne_bytes)
    }

    /// Leaves out so many bytes.
    pub(super) fn skip<const N: usize>(&mut self) -> Result<(), Malformed> {
        self.take::<N>().map(|_| ())
    }

    /// A name, without the zero byte behind it.
    pub(in crate::session) fn name(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
        let (name, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Ok(name)
    }

    /// So many bytes.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }
}

/// Bytes to which fields are added.
pub(super) trait Add {
    fn u16(&mut self, number: u16) -> &mut Self;
    fn u32(&mut self, number: u32) -> &mut Self;
    fn u64(&mut self, number: u64) -> &mut Self;
    /// So many bytes that mean nothing.
    fn zeros(&mut self, count: usize) -> &mut Self;
}

impl Add for Vec<u8> {
    fn u16(&mut self, number: u16) -> &mut Self {
        self.extend(number.to_ne_bytes());
        self
    }

    fn u32(&mut self, number: u32) -> &mut Self {
        self.extend(number.to_ne_bytes());
        self
    }

    fn u64(&mut self, number: u64) -> &mut Self {
        self.extend(number.to_ne_bytes());
        self
    }

    fn zeros(&mut self, count: usize) -> &mut Self {
        self.resize(self.len() + count, 0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_one_behind_the_other_and_end() {
        let mut bytes = Vec::new();
        bytes.u32(7).u64(8).zeros(4).u16(9).extend(b"ab\0c\0");
        let mut fields = Fields::new(&bytes);
        assert_eq!((fields.u32(), fields.u64()), (Ok(7), Ok(8)));
        assert_eq!((fields.skip::<4>(), fields.skip::<2>()), (Ok(()), Ok(())));
        assert_eq!((fields.name(), fields.name()), (Ok(&b"ab"[..]), Ok(&b"c"[..])));
        assert!(fields.is_empty());
        assert_eq!((fields.name(), fields.u32()), (Err(Malformed), Err(Malformed)));
        assert_eq!(Fields::new(b"no end").name(), Err(Malformed));
    }
}
