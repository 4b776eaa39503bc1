//! What signals wait for a caller: told by what the kernel says about its thread.
//!
//! Of `/proc/N`, `status` never waits, but does not say how a thread ends. `stat` does, and waits while the thread
//! becomes another program, for which it may have to close a file of ours first: so it is read only of a thread that
//! has no memory any more, and is at its end. Where we may not know how another user's thread ends, it seems to end by
//! itself.

/// What a caller is to do when its call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// To die.
    Death,
    /// To handle a signal by which somebody wants something of it.
    Signal,
    /// What, nobody here knows: it is another container's, say, of whose processes this one sees none.
    Unknown,
    /// To handle another one: of a timer, of a child, of its own runtime.
    Everyday,
    /// Nothing; or to stop, and go on with its call later.
    Nothing,
}

/// The bit of SIGKILL in a set of signals; what else ends a process at once becomes one for each of its threads.
const KILL: u64 = bit(9);
/// SIGHUP, SIGINT, SIGQUIT, SIGUSR1 and SIGTERM: by these somebody wants a program to end, or to look up. A program that
/// has a handler for any other rarely expects its calls to end by it.
const WANTED: u64 = bit(1) | bit(2) | bit(3) | bit(10) | bit(15);
/// SIGSTOP, SIGTSTP, SIGTTIN and SIGTTOU.
const STOPS: u64 = bit(19) | bit(20) | bit(21) | bit(22);
/// `PF_EXITING`: the thread is closing its files, say.
const EXITING: u64 = 1 << 2;
/// The part of an exit status that tells a signal.
const BY_SIGNAL: u64 = 0x7f;
/// Where the flags and the status lie behind the name in `/proc/N/stat`: fields 9 and 52 of proc(5).
const FLAGS_AT: usize = 6;
const STATUS_AT: usize = 49;

const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// What waits for this thread now.
pub(super) async fn pending(thread: u32) -> Pending {
    // The kernel itself, or a thread of which this namespace knows nothing.
    if thread == 0 {
        return Pending::Unknown;
    }
    // Whatever the kernel waits for in other versions, no other call shall.
    let looked = tokio::task::spawn_blocking(move || pending_now(thread)).await;
    looked.unwrap_or(Pending::Unknown)
}

fn pending_now(thread: u32) -> Pending {
    let of = |file| std::fs::read_to_string(format!("/proc/{thread}/{file}")).unwrap_or_default();
    let status = of("status");
    let dies = is_at_its_end(&status) && ends_by_signal(&of("stat"));
    if dies { Pending::Death } else { told_by(&status) }
}

/// What its sets of signals tell.
fn told_by(status: &str) -> Pending {
    let set = |name| {
        let set = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(set.trim(), 16).ok()
    };
    let sets = (set("SigPnd:"), set("ShdPnd:"), set("SigBlk:"));
    let (Some(own), Some(shared), Some(blocked)) = sets else { return Pending::Unknown };
    match (own | shared) & !blocked {
        waiting if waiting & KILL != 0 => Pending::Death,
        waiting if waiting & WANTED != 0 => Pending::Signal,
        waiting if waiting & !STOPS != 0 => Pending::Everyday,
        _ => Pending::Nothing,
    }
}

/// Whether it has no memory any more.
fn is_at_its_end(status: &str) -> bool {
    !status.contains("\nVmSize:")
}

/// Whether it is at its end, and a signal has ended it.
fn ends_by_signal(stat: &str) -> bool {
    let Some((_, behind)) = stat.rsplit_once(") ") else { return false };
    let field = |at| behind.split_whitespace().nth(at).and_then(|field| field.parse::<u64>().ok());
    let has = |at, bits| field(at).is_some_and(|field| field & bits != 0);
    has(FLAGS_AT, EXITING) && has(STATUS_AT, BY_SIGNAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_told_from_other_signals_and_these_from_what_comes_every_day() {
        let told = |own: u64, shared: u64| {
            let sets = format!("SigPnd:\t{own:016x}\nShdPnd:\t{shared:016x}\n");
            told_by(&format!("Name:\tx\nSigQ:\t0/1\n{sets}SigBlk:\t{:016x}\n", bit(10)))
        };
        let (blocked, end, alarm, child, stop) = (bit(10), bit(15), bit(14), bit(17), bit(20));
        assert_eq!((told(KILL, 0), told(alarm, KILL | end)), (Pending::Death, Pending::Death));
        assert_eq!((told(end, 0), told(alarm, bit(2))), (Pending::Signal, Pending::Signal));
        assert_eq!((told(alarm, child), told(0, bit(33))), (Pending::Everyday, Pending::Everyday));
        assert_eq!((told(stop, 0), told(0, 0)), (Pending::Nothing, Pending::Nothing));
        assert_eq!(told(blocked, blocked), Pending::Nothing, "it is blocked");
        let unknown = Pending::Unknown;
        assert_eq!((told_by(""), told_by("SigPnd:\tx\n")), (unknown, unknown));
    }

    #[test]
    fn who_ends_by_a_signal_is_told_from_who_ends_by_itself() {
        // Of a process with a name that has everything.
        let stat = |flags: u64, status: u64| {
            let rest = "0 ".repeat(STATUS_AT - FLAGS_AT - 1);
            format!("7 (a) b (c) D 1 2 3 4 5 {flags} {rest}{status}\n")
        };
        assert!(ends_by_signal(&stat(EXITING | 0x40_0000, 9)));
        assert!(!ends_by_signal(&stat(EXITING, 0)) && !ends_by_signal(&stat(EXITING, 1 << 8)));
        assert!(!ends_by_signal(&stat(0, 9)) && !ends_by_signal("7 (x) D"));
    }

    #[tokio::test]
    async fn nothing_waits_for_who_lives() {
        let ours = std::fs::read_to_string("/proc/self/status").expect("Linux");
        assert!(!is_at_its_end(&ours));
        assert_eq!(pending(std::process::id()).await, Pending::Nothing);
        assert_eq!(pending(0).await, Pending::Unknown);
    }
}
