//! What runs were about: those that hardly did anything show nothing.

/// What a run was about.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::tests) struct Counts {
    pub(in crate::tests) acknowledged: usize,
    pub(in crate::tests) confirmed: usize,
    pub(in crate::tests) confirmed_by_followers: usize,
    pub(in crate::tests) leaders: usize,
    pub(in crate::tests) leased: usize,
    pub(in crate::tests) installed: usize,
    pub(in crate::tests) transfers_failed: usize,
    pub(in crate::tests) handed_over: usize,
    pub(in crate::tests) losses: usize,
    pub(in crate::tests) full: usize,
    /// Directories that were made anew.
    pub(in crate::tests) wiped: usize,
    /// Groups in which so many did not vote at the end that none was elected.
    pub(in crate::tests) blocked: usize,
}

impl Counts {
    pub(in crate::tests) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.confirmed += other.confirmed;
        self.confirmed_by_followers += other.confirmed_by_followers;
        self.leaders += other.leaders;
        self.leased += other.leased;
        self.installed += other.installed;
        self.transfers_failed += other.transfers_failed;
        self.handed_over += other.handed_over;
        self.losses += other.losses;
        self.full += other.full;
        self.wiped += other.wiped;
        self.blocked += other.blocked;
    }
}
