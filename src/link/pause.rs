//! How long to wait before the next try: twice as long each time, up to a bound, and never all at once.

use super::connect::random;
use crate::error::Code;
use std::time::Duration;

const FIRST_MS: u64 = 50;

/// The waiting times of one link.
pub struct Pause {
    next_ms: u64,
    max_ms: u64,
}

impl Pause {
    /// Waiting times of at most `max_ms`.
    pub fn new(max_ms: u64) -> Pause {
        Pause { next_ms: FIRST_MS.min(max_ms), max_ms }
    }

    /// The connection was fine for a while: the next try may come soon again.
    pub fn reset(&mut self) {
        self.next_ms = FIRST_MS.min(self.max_ms);
    }

    /// How long to wait after a failure of this code: between half the time and the whole of it, so that
    /// many clients of one server do not come back in step. What will not pass by itself waits longest.
    pub fn next(&mut self, code: Code) -> Duration {
        if !passes(code) {
            self.next_ms = self.max_ms;
        }
        let whole = self.next_ms;
        self.next_ms = (whole * 2).min(self.max_ms);
        let mut byte = [0; 2];
        random(&mut byte);
        let share = u64::from(u16::from_le_bytes(byte));
        Duration::from_millis(whole / 2 + whole.div_ceil(2) * share / u64::from(u16::MAX))
    }
}

/// Whether the same try may succeed without anybody doing something about it.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::Unreachable
            | Code::Timeout
            | Code::Closed
            | Code::Busy
            | Code::Locked
            | Code::Quota
            | Code::NoSpace
            | Code::Paused
            | Code::NotPrimary
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_the_bound_and_begins_again_after_a_success() {
        let mut pause = Pause::new(1000);
        for whole in [50, 100, 200, 400, 800, 1000, 1000] {
            let waited = pause.next(Code::Unreachable).as_millis();
            assert!((whole / 2..=whole).contains(&waited), "{waited} of {whole}");
        }
        pause.reset();
        assert!(pause.next(Code::Unreachable).as_millis() <= 50);
    }

    #[test]
    fn what_does_not_pass_by_itself_waits_longest_at_once() {
        for code in [Code::Denied, Code::Certificate, Code::Protocol, Code::Diverged, Code::Version]
        {
            assert!(Pause::new(1000).next(code).as_millis() >= 500, "{code:?}");
        }
    }

    #[test]
    fn waits_differ() {
        let waits: std::collections::HashSet<_> =
            (0..50).map(|_| Pause::new(60_000).next(Code::Denied)).collect();
        assert!(waits.len() > 25);
    }
}
