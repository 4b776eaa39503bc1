//! What becomes of each range that a call reads.
//!
//! A range is *open* while something of it is not known: a part of which bytes have not come, or how far the
//! file reaches. What fails a range does not fail the others. What ends the call, its deadline first of all,
//! fails those that are open; the others have their bytes.

use emberfs_layout::ByteLen;

use super::targets::Targets;
use crate::error::ClientError;

/// How the ranges of one call stand.
#[derive(Debug)]
pub(super) struct Outcomes {
    /// In their order.
    ranges: Vec<Outcome>,
    /// How long the file is, by what is known of it.
    pub(super) size: ByteLen,
}

#[derive(Clone, Debug)]
struct Outcome {
    /// How much is not known.
    open: usize,
    failed: Option<ClientError>,
}

impl Outcomes {
    /// Of so many ranges, all open.
    pub(super) fn new(count: usize) -> Self {
        let outcome = Outcome { open: 1, failed: None };
        Self { ranges: vec![outcome; count], size: ByteLen::ZERO }
    }

    /// All are open again, but what failed.
    pub(super) fn restart(&mut self) {
        self.ranges.iter_mut().for_each(|range| range.open = 1);
    }

    /// What is not known of each was opened, of a file that is so long.
    pub(super) fn begun(&mut self, size: ByteLen) {
        self.size = size;
        self.ranges.iter_mut().for_each(|range| range.open -= 1);
    }

    /// Something more of a range is not known.
    pub(super) fn open(&mut self, target: usize) {
        self.ranges[target].open += 1;
    }

    /// Something of a range is known now.
    pub(super) fn close(&mut self, target: usize) {
        self.ranges[target].open -= 1;
    }

    /// A range failed.
    ///
    /// # Errors
    /// The same, if there is no range left to go on for.
    pub(super) fn fail(&mut self, target: usize, why: ClientError) -> Result<(), ClientError> {
        self.ranges[target].failed.get_or_insert_with(|| why.clone());
        let over = self.ranges.iter().all(|range| range.failed.is_some());
        if over { Err(why) } else { Ok(()) }
    }

    /// Whether a range has not failed.
    pub(super) fn goes_on(&self, target: usize) -> bool {
        self.ranges[target].failed.is_none()
    }

    /// The call ended, perhaps `early`: how many bytes each range got, fewer than its buffer has at the end of
    /// the file.
    pub(super) fn end(
        self,
        targets: &Targets<'_>,
        early: Option<&ClientError>,
    ) -> Vec<Result<usize, ClientError>> {
        let of = |(range, len): (Outcome, usize)| match (range.failed, early) {
            (Some(why), _) => Err(why),
            (None, Some(why)) if range.open > 0 => Err(why.clone()),
            (None, _) => Ok(len),
        };
        self.ranges.into_iter().zip(targets.lens(self.size)).map(of).collect()
    }
}
