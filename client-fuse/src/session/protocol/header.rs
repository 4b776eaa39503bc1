//! The beginning of each request and of each answer.

use super::fields::{Fields, Malformed};

/// `fuse_in_header`: what each request begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct Header {
    /// Bytes of the request, with this.
    pub(in crate::session) len: u32,
    /// What is asked for.
    pub(in crate::session) opcode: u32,
    /// By which the answer is known, and an interrupt; never used again.
    pub(in crate::session) unique: u64,
    /// The inode that it is about.
    pub(in crate::session) node: u64,
    /// The calling user.
    pub(in crate::session) uid: u32,
    /// Its group.
    pub(in crate::session) gid: u32,
    /// The calling thread; 0 where the kernel itself asks.
    pub(in crate::session) pid: u32,
}

impl Header {
    /// Its bytes.
    pub(in crate::session) const LEN: usize = 40;

    pub(in crate::session) fn parse(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let header = Self {
            len: fields.u32()?,
            opcode: fields.u32()?,
            unique: fields.u64()?,
            node: fields.u64()?,
            uid: fields.u32()?,
            gid: fields.u32()?,
            pid: fields.u32()?,
        };
        // Extensions, for none of which we ask.
        fields.skip::<4>()?;
        Ok(header)
    }
}

/// `fuse_out_header`: what each answer begins with. `errno` 0 says that it is none.
pub(in crate::session) fn answer_header(unique: u64, errno: i32, body: usize) -> [u8; 16] {
    let mut header = [0; 16];
    let len = u32::try_from(header.len() + body).expect("an answer fits into a request's limits");
    header[..4].copy_from_slice(&len.to_ne_bytes());
    header[4..8].copy_from_slice(&(-errno).to_ne_bytes());
    header[8..].copy_from_slice(&unique.to_ne_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::super::fields::Add;
    use super::*;

    #[test]
    fn headers_are_as_in_the_kernels_header_file() {
        let mut bytes = Vec::new();
        bytes.u32(48).u32(3).u64(1 << 40).u64(7).u32(1000).u32(100).u32(4711).u32(0);
        assert_eq!(bytes.len(), Header::LEN);
        let header = Header::parse(&mut Fields::new(&bytes)).expect("long enough");
        let (unique, node) = (1 << 40, 7);
        assert_eq!(
            header,
            Header { len: 48, opcode: 3, unique, node, uid: 1000, gid: 100, pid: 4711 }
        );
        let refused = answer_header(6, 4, 0);
        assert_eq!(refused[..8], [16_u32.to_ne_bytes(), (-4_i32).to_ne_bytes()].concat());
        assert_eq!(refused[8..], 6_u64.to_ne_bytes());
        assert_eq!(answer_header(6, 0, 100)[..8], [116_u32.to_ne_bytes(), [0; 4]].concat());
    }
}
