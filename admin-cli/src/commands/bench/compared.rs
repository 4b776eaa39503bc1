//! Value beside limit: limit, value, value, limit, so that what drifts in those seconds drifts for both.

use std::time::Duration;

use anyhow::Result;

use super::Bench;
use super::limit::{Limit, Piece};
use super::limits::{NOISE, WEAK};
use super::row::Row;
use super::slice::Outcome;

/// How often is measured again what is noisy.
const AGAIN: usize = 3;
/// How long the parts of a limit are measured alone.
const PARTS: Duration = Duration::from_millis(500);

impl Bench<'_> {
    /// A row, and its limit in the row's unit.
    pub(super) async fn compared(
        &mut self,
        row: &Row,
        time: Duration,
    ) -> Result<(Outcome, Option<f64>)> {
        let limit = Limit::of(&row.load);
        let parts = self.parts(&limit).await?;
        let mut tries = 0;
        loop {
            let first = self.limit(&limit, time).await?;
            let values = [self.measured(row, time).await?, self.measured(row, time).await?];
            let limits = [first, self.limit(&limit, time).await?];
            tries += 1;
            let is_noisy = differ(limits[0].rate(), limits[1].rate());
            if is_noisy && tries <= AGAIN && !self.stop.is_wanted() {
                continue;
            }
            let rate = f64::midpoint(limits[0].rate(), limits[1].rate());
            let mut notes: Vec<String> = values[0].note.iter().cloned().collect();
            if is_noisy {
                let [one, other] = limits.each_ref().map(|limit| row.unit.value(limit));
                notes.push(format!("noisy: limits {one:.0} and {other:.0}"));
            }
            if rate < WEAK * parts {
                notes.push("weak limit".to_owned());
            }
            let value = together(&values, &notes);
            let [one, other] = limits.each_ref().map(|limit| row.unit.value(limit));
            return Ok((value, Some(f64::midpoint(one, other))));
        }
    }

    /// One slice of a limit: each of its pieces has a part of the time.
    async fn limit(&mut self, limit: &Limit, time: Duration) -> Result<Outcome> {
        let each = time.div_f64(limit.pieces.len() as f64);
        let mut whole: Option<Outcome> = None;
        for piece in &limit.pieces {
            let outcome = self.piece(piece, each).await?;
            whole = Some(match whole {
                Some(whole) => whole.in_a_row(&outcome),
                None => outcome,
            });
        }
        Ok(whole.expect("a limit has pieces").times(limit.each))
    }

    /// One slice of one piece.
    pub(super) async fn piece(&mut self, piece: &Piece, time: Duration) -> Result<Outcome> {
        match piece {
            Piece::Native(load) => Ok(self.carried_out(load, time).await?.outcome()),
            piece => {
                let piece = piece.clone();
                self.limited(move |limits| limits.slice(&piece, time)).await
            }
        }
    }

    /// What the parts of a limit's pieces do all one after the other, in calls a second; none have parts: zero.
    async fn parts(&mut self, limit: &Limit) -> Result<f64> {
        let mut seconds = 0.0;
        for piece in limit.pieces.clone() {
            let parts = self.limited(move |limits| limits.parts(&piece, PARTS)).await?;
            let Some(sum) = parts["sum"].as_f64() else { return Ok(0.0) };
            seconds += 1.0 / sum;
        }
        Ok(limit.each as f64 / seconds)
    }
}

/// Two slices of the same as one.
fn together([one, other]: &[Outcome; 2], notes: &[String]) -> Outcome {
    Outcome {
        ops: one.ops + other.ops,
        bytes: one.bytes + other.bytes,
        seconds: one.seconds + other.seconds,
        p50_us: u64::midpoint(one.p50_us, other.p50_us),
        p99_us: u64::midpoint(one.p99_us, other.p99_us),
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    }
}

/// Whether two measurements of the same differ by more than noise may be.
fn differ(one: f64, other: f64) -> bool {
    (one - other).abs() > NOISE * one.max(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_slices_are_one_and_noise_is_a_part_of_the_larger() {
        let of = |ops, seconds| Outcome { ops, seconds, p99_us: ops, ..Outcome::default() };
        let whole = together(&[of(10, 1.0), of(20, 2.0)], &["noisy".to_owned()]);
        assert!((whole.rate() - 10.0).abs() < 1e-9 && whole.p99_us == 15, "{whole:?}");
        assert_eq!(whole.note.as_deref(), Some("noisy"));
        assert!(!differ(100.0, 85.0) && differ(84.9, 100.0));
    }
}
