//! The beginning of a mount: the kernel's first request, and what both sides agree on.

use std::io;

use super::device::Device;
use super::protocol::{Agreement, Fields, Header, Init, answer_header};
use crate::errno::Errno;

/// The kernel wants no smaller buffer.
const BUFFER: usize = 8192;
/// Where the kernel says how many pages a request may have.
const PAGES_LIMIT: &str = "/proc/sys/fs/fuse/max_pages_limit";
/// How many it may have in kernels that do not say so.
const PAGES_USUAL: u16 = 256;
/// Bytes of a write at most, whatever the kernel allows: each thread that reads has memory for one.
const WRITE_MAX: usize = 16 << 20;

/// Waits for the first request, and answers it.
///
/// # Errors
/// If the kernel is too old, or the mount is gone.
pub(super) fn agree(device: &Device) -> io::Result<Agreement> {
    let page = rustix::param::page_size();
    let pages = pages(std::fs::read_to_string(PAGES_LIMIT).ok().as_deref(), page);
    let page = u32::try_from(page).map_err(io::Error::other)?;
    loop {
        let (header, init) = first(device)?;
        let answer = |errno: i32, body: &[u8]| {
            device.write([&answer_header(header.unique, errno, body.len()), body])
        };
        match init.agree(pages, page) {
            Ok(Some(agreed)) => {
                answer(0, &agreed.body())?;
                let lacking: Vec<_> = agreed.lacking().collect();
                tracing::info!(write_max = agreed.write_max(), ?lacking, "agreed with the kernel");
                return Ok(agreed);
            }
            // It asks again.
            Ok(None) => answer(0, &Agreement::ours_only())?,
            Err(outdated) => {
                answer(Errno::PROTO.raw_os_error(), &[])?;
                return Err(io::Error::new(io::ErrorKind::Unsupported, outdated));
            }
        }
    }
}

fn first(device: &Device) -> io::Result<(Header, Init)> {
    let mut buffer = vec![0; BUFFER];
    let Some(len) = device.read([&mut buffer, &mut []])? else {
        return Err(io::Error::new(io::ErrorKind::NotConnected, "unmounted at once"));
    };
    let mut fields = Fields::new(&buffer[..len]);
    let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let header = Header::parse(&mut fields).map_err(wrong)?;
    if header.opcode != Init::OPCODE {
        let said = format!("request {} came before the first", header.opcode);
        return Err(io::Error::new(io::ErrorKind::InvalidData, said));
    }
    Ok((header, Init::parse(&mut fields).map_err(wrong)?))
}

/// How many pages of so many bytes a request shall have, by what the kernel says.
fn pages(limit: Option<&str>, page: usize) -> u16 {
    let limit = limit.and_then(|limit| limit.trim().parse::<u64>().ok());
    let most = u16::try_from(WRITE_MAX / page).unwrap_or(u16::MAX);
    let limit = limit.map_or(PAGES_USUAL, |limit| u16::try_from(limit).unwrap_or(u16::MAX));
    limit.min(most).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::device::scripted::{Answer, Kernel};
    use super::*;

    /// Protocol 7.44, with all that there is.
    const TODAY: [u32; 16] =
        [7, 44, 128 << 10, u32::MAX, u32::MAX, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn a_newer_kernel_is_told_what_we_speak_and_asks_again() {
        let (kernel, device) = Kernel::new();
        kernel.ask(Init::OPCODE, 2, &[8, 1]);
        kernel.ask(Init::OPCODE, 4, &TODAY);
        let agreed = agree(&device).expect("they come to terms");
        let body = Agreement::ours_only();
        assert_eq!(kernel.answer(), Answer { unique: 2, errno: 0, body });
        assert_eq!(kernel.answer(), Answer { unique: 4, errno: 0, body: agreed.body() });
    }

    #[test]
    fn one_that_is_too_old_hears_so_and_whoever_mounts_too() {
        let (kernel, device) = Kernel::new();
        kernel.ask(Init::OPCODE, 2, &[7, 12, 0, 0]);
        let error = agree(&device).expect_err("too old");
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
        let errno = Errno::PROTO.raw_os_error();
        assert_eq!(kernel.answer(), Answer { unique: 2, errno, body: Vec::new() });
    }

    #[test]
    fn nothing_else_comes_first() {
        let (kernel, device) = Kernel::new();
        kernel.ask(1, 2, &TODAY);
        agree(&device).expect_err("a lookup");
        kernel.ask(Init::OPCODE, 4, &[7]);
        agree(&device).expect_err("half of it");
    }

    #[test]
    fn requests_are_as_large_as_the_kernel_allows_and_memory_is_bounded() {
        assert_eq!(pages(Some("256\n"), 4096), 256);
        assert_eq!(pages(Some("1024\n"), 4096), 1024);
        assert_eq!(pages(Some("65535\n"), 4096), 4096);
        assert_eq!(pages(Some("256\n"), 65_536), 256);
        for unsaid in [None, Some(""), Some("x")] {
            assert_eq!(pages(unsaid, 4096), 256);
        }
        assert_eq!(pages(Some("0"), 4096), 1);
    }
}
