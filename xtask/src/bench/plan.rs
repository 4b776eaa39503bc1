//! How long the table takes, by arithmetic: it is to end within half an hour.

use std::fmt;

use super::medium::Medium;
use super::pairs::Effort;
use super::rows::{LOADS, Measure, Pace, Row};

/// Beside its slices, each load has trials, parts alone, what it needs written, and slices in which is counted.
const LOAD_SECONDS: f64 = 3.0;
/// What is whole in any time takes so much longer for each value.
const WHOLE_SECONDS: f64 = 4.0;
const LONG_SECONDS: f64 = 25.0;
/// Starting a cluster and its limit, what is written ahead, and stopping all.
const MEDIUM_SECONDS: f64 = 40.0;
/// Making very many chunks, and starting a server with them.
const START_SECONDS: f64 = 50.0;
/// For taking noisy pairs again, as a part of all slices.
const AGAIN: f64 = 0.08;

/// What a run comes to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    loads: usize,
    slices: f64,
    beside: f64,
    /// Seconds for taking noisy pairs again.
    pub(super) again: f64,
}

impl Plan {
    /// Of these rows.
    pub(super) fn of(media: &[(Medium, Vec<Row>)], is_quick: bool) -> Self {
        let mut plan = Self::default();
        for (medium, rows) in media.iter().filter(|(_, rows)| !rows.is_empty()) {
            let starts = rows.iter().any(|row| row.measure == Measure::Start);
            plan.beside += MEDIUM_SECONDS + if starts { START_SECONDS } else { 0.0 };
            for load in LOADS.iter().filter(|load| rows.iter().any(|row| row.is_of(load))) {
                let effort = Effort::of(load.pace, *medium, is_quick);
                plan.loads += 1;
                plan.slices += effort.takes();
                plan.beside += LOAD_SECONDS;
                let longer = match load.pace {
                    Pace::Floor | Pace::Usual => 0.0,
                    Pace::Whole => WHOLE_SECONDS,
                    Pace::Long => LONG_SECONDS,
                };
                plan.beside += 2.0 * effort.pairs as f64 * longer;
            }
        }
        plan.again = plan.slices * AGAIN;
        plan
    }

    /// Seconds in all.
    fn seconds(&self) -> f64 {
        self.slices + self.beside + self.again
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { loads, slices, beside, again } = self;
        write!(
            f,
            "{loads} loads: {slices:.0} s of slices, about {beside:.0} s beside them, at most {again:.0} s for noisy \
             pairs again: {:.0} s",
            self.seconds()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::rows;
    use super::*;

    #[test]
    fn the_whole_table_ends_within_half_an_hour_and_a_first_look_sooner() {
        let media = [Medium::Disk, Medium::Ram]
            .map(|medium| (medium, rows().filter(|row| row.is_on(medium)).collect()));
        let (whole, quick) = (Plan::of(&media, false), Plan::of(&media, true));
        assert!(whole.seconds() < 1800.0, "{whole}");
        assert!(quick.seconds() < whole.seconds() * 0.7, "{quick}");
        assert!(Plan::of(&[], false).seconds() < 1e-9);
    }
}
