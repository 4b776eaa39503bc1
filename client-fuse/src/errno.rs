//! The one place where failures become errnos.

use emberfs_client::{ClientError, FsError};
pub use rustix::io::Errno;

/// What a system call answers for this failure.
#[must_use]
pub fn of_client(error: &ClientError) -> Errno {
    match error {
        ClientError::Fs(error) => of_fs(*error),
        ClientError::Deadline { .. } => Errno::TIMEDOUT,
        ClientError::SessionLost | ClientError::Closed => Errno::STALE,
        ClientError::Lost { .. }
        | ClientError::Damaged { .. }
        | ClientError::Fault { .. }
        | ClientError::Directory(_) => Errno::IO,
    }
}

/// What a system call answers for this refusal.
#[must_use]
pub fn of_fs(error: FsError) -> Errno {
    match error {
        FsError::NotFound => Errno::NOENT,
        FsError::Exists => Errno::EXIST,
        FsError::NotADirectory => Errno::NOTDIR,
        FsError::IsADirectory => Errno::ISDIR,
        FsError::NotEmpty => Errno::NOTEMPTY,
        FsError::PermissionDenied => Errno::ACCESS,
        FsError::NotPermitted => Errno::PERM,
        FsError::InvalidArgument => Errno::INVAL,
        FsError::NameTooLong => Errno::NAMETOOLONG,
        FsError::FileTooLarge => Errno::FBIG,
        FsError::NoSpace => Errno::NOSPC,
        FsError::TooManyLinks => Errno::MLINK,
        FsError::SymlinkLoop => Errno::LOOP,
        FsError::Stale => Errno::STALE,
        FsError::Busy => Errno::BUSY,
        FsError::ReadOnly => Errno::ROFS,
        FsError::NotSupported => Errno::OPNOTSUPP,
        FsError::Io => Errno::IO,
        FsError::QuotaExceeded => Errno::DQUOT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_the_errno_of_its_words() {
        let all = [FsError::NotFound, FsError::NotEmpty, FsError::PermissionDenied, FsError::Stale];
        for error in all {
            let words = std::io::Error::from(of_fs(error)).to_string().to_lowercase();
            assert!(words.starts_with(&error.to_string()), "{error}: {words}");
        }
    }
}
