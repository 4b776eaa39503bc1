//! Payloads of one frame out of several: behind each other, in one buffer.

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_wire::WireError;

use crate::shard::driver::RETRY_MS;

/// One payload of some: without a copy where there is but one, otherwise copied once. The checksums that
/// go with the parts were made before, so the receiver finds a copy that went wrong.
///
/// # Errors
/// [`WireError::Retry`] when there is no memory for it now.
pub(crate) fn behind_each_other<'a>(
    parts: impl Iterator<Item = &'a Bytes>,
    pool: &Pool,
) -> Result<Bytes, WireError> {
    let parts: Vec<&Bytes> = parts.filter(|part| !part.is_empty()).collect();
    match parts[..] {
        [] => Ok(Bytes::new()),
        [one] => Ok(one.clone()),
        _ => {
            let len = parts.iter().map(|part| part.len()).sum();
            let full = |error| WireError::Retry { after_ms: RETRY_MS, text: format!("{error}") };
            let mut all = pool.take(len).map_err(full)?;
            let mut at = 0;
            for part in parts {
                all[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
            Ok(all.freeze())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_layout::ByteLen;

    #[test]
    fn one_part_is_not_copied_and_several_stand_in_order() {
        let pool = Pool::new(ByteLen(4096));
        let [none, a, b] = [&b""[..], b"ab", b"cde"].map(Bytes::copy_from_slice);
        let joined = |parts: &[&Bytes]| behind_each_other(parts.iter().copied(), &pool);
        assert_eq!(joined(&[&none, &a]).expect("no memory needed").as_ptr(), a.as_ptr());
        assert!(joined(&[&none]).expect("no memory needed").is_empty());
        let all = joined(&[&a, &none, &b]).expect("within the pool");
        assert_eq!(&all[..], b"abcde");
        assert!(matches!(joined(&[&a, &b]), Err(WireError::Retry { .. })), "the pool is used up");
    }
}
