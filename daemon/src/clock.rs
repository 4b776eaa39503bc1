//! A clock that counts from the start of the process, never goes back, and goes on while the machine sleeps.
//!
//! That last point is why it is not [`std::time::Instant`], which stands still meanwhile on Linux: a server
//! whose machine was suspended, or whose virtual machine was, would wake with a lease that has long run out
//! elsewhere, and serve what others have changed since.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A clock; copies go alike.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Duration,
}

impl Clock {
    /// One that counts from now.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each starts at another time")]
    pub fn new() -> Self {
        Self { start: since_boot() }
    }

    /// For how long it has gone, in milliseconds.
    #[must_use]
    pub fn now_ms(self) -> u64 {
        let ms = (since_boot() - self.start).as_millis();
        u64::try_from(ms).expect("a process does not live for 500 million years")
    }
}

/// How long ago the machine was started, its sleep included.
fn since_boot() -> Duration {
    let boot = clock_gettime(ClockId::Boottime);
    Duration::try_from(boot).expect("a clock that counts from the start is not negative")
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::{env, fs};

    use super::*;

    const TEST: &str = "clock::tests::sleep_of_the_machine_counts";
    /// Names the file into which the test, run inside the namespace, writes what it sees.
    const INSIDE: &str = "EMBERFS_TEST_SLEPT";
    const DAY: u64 = 24 * 60 * 60;

    /// In a time namespace whose machine slept for a day, as its other clocks do not know.
    #[test]
    fn sleep_of_the_machine_counts() {
        let outside = since_boot().as_secs();
        if let Some(file) = env::var_os(INSIDE) {
            fs::write(file, outside.to_string()).expect("a temporary file");
            return;
        }
        let said = tempfile::NamedTempFile::new().expect("a temporary file");
        let run = Command::new("unshare")
            .args(["--time", "--boottime", &DAY.to_string()])
            .arg(env::current_exe().expect("a test runs from a file"))
            .args(["--exact", TEST])
            .env(INSIDE, said.path())
            .output();
        let refused = |text: &dyn std::fmt::Debug| println!("skipped: {TEST}: {text:?}");
        match run {
            Err(error) => return refused(&error),
            Ok(run) if run.stderr.starts_with(b"unshare:") => {
                return refused(&String::from_utf8_lossy(&run.stderr));
            }
            Ok(run) => assert!(run.status.success(), "{run:?}"),
        }
        let inside = fs::read_to_string(said.path()).expect("written");
        let inside: u64 = inside.parse().expect("seconds");
        assert!(inside.abs_diff(outside + DAY) < 60, "{inside} s there, {outside} s here");
    }
}
