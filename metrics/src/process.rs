//! Memory, time and files of this process: looked at when somebody asks.
//!
//! What the system does not say is left as it was.

use std::fs;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::metric::level;
use crate::table::{
    BUILD, PROCESS_CPU, PROCESS_FILES, PROCESS_FILES_MAX, PROCESS_RESIDENT, PROCESS_START,
    PROCESS_THREADS, PROCESS_VIRTUAL,
};

/// What was built.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// When the process first looked.
static START: OnceLock<i64> = OnceLock::new();
/// Looked at by one at a time: time on processors is a difference.
static LOOKING: Mutex<()> = Mutex::new(());

/// Notes what was built and when the process began: to be called at its start.
pub fn begin() {
    BUILD.with([VERSION]).set(1);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let start = START.get_or_init(|| level(since));
    PROCESS_START.with([]).set(*start);
}

/// Brings the process's own metrics up to date.
pub(crate) fn look() {
    begin();
    let _alone = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    let cpu = PROCESS_CPU.with([]);
    cpu.inc_by((seconds - cpu.get()).max(0.0));
    let page = i64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let memory = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = memory.split(' ').filter_map(|number| number.parse::<i64>().ok());
    if let (Some(all), Some(resident)) = (pages.next(), pages.next()) {
        PROCESS_VIRTUAL.with([]).set(all.saturating_mul(page));
        PROCESS_RESIDENT.with([]).set(resident.saturating_mul(page));
    }
    if let Some(files) = entries("/proc/self/fd") {
        // Without the one that was looked through.
        PROCESS_FILES.with([]).set(files - 1);
    }
    if let Some(threads) = entries("/proc/self/task") {
        PROCESS_THREADS.with([]).set(threads);
    }
    if let Some(max) = files_max() {
        PROCESS_FILES_MAX.with([]).set(max);
    }
}

fn entries(folder: &str) -> Option<i64> {
    i64::try_from(fs::read_dir(folder).ok()?.count()).ok()
}

fn files_max() -> Option<i64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_files_threads_and_time() {
        look();
        look();
        for gauge in [&PROCESS_RESIDENT, &PROCESS_VIRTUAL, &PROCESS_FILES, &PROCESS_THREADS] {
            assert!(gauge.with([]).get() > 0, "{gauge:?}");
        }
        assert!(PROCESS_CPU.with([]).get() > 0.0 && PROCESS_START.with([]).get() > 1_600_000_000);
    }
}
