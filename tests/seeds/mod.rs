//! How long a test of chance looks, and from which seeds: one mechanism for all of them.
//!
//! | variable | what a test of chance does then |
//! |---|---|
//! | none | the seeds from 1 on, as many as `make test` has time for |
//! | `REPLIQ_SECONDS=n` | fresh seeds until the time is over, at least one |
//! | `REPLIQ_CYCLES=n` | so many fresh seeds |
//! | `REPLIQ_SEED=n` | this seed alone: what repeats a failure |
//!
//! A seed that fails is printed with the command that repeats it, and the next one is tried, up to a bound. The
//! last line is for `scripts/ladder.sh`, which drives these tests for as long as it is asked to.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// More failures than this say nothing new.
const FAILURES_MAX: u64 = 5;

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// A seed nobody had before.
fn fresh() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // Short enough to be typed.
    now.as_micros() as u64 % 1_000_000_000_000
}

/// Runs `cycle` with one seed after the other; it returns how many cases it looked at. `test` is what cargo calls
/// the test, behind the name of its binary.
pub fn run(tier: &str, test: &str, small: u64, mut cycle: impl FnMut(u64) -> u64) {
    let begun = Instant::now();
    let budget = number("REPLIQ_SECONDS").map(Duration::from_secs);
    let asked = number("REPLIQ_CYCLES");
    let (first, cycles) = match (number("REPLIQ_SEED"), budget, asked) {
        (Some(seed), ..) => (seed, 1),
        (None, Some(_), None) => (fresh(), u64::MAX),
        (None, _, Some(cycles)) => (fresh(), cycles.max(1)),
        (None, None, None) => (1, small),
    };
    let (mut done, mut cases, mut failures) = (0, 0, 0);
    while done < cycles && failures < FAILURES_MAX {
        if done > 0 && budget.is_some_and(|budget| begun.elapsed() >= budget) {
            break;
        }
        let seed = first + done;
        match catch_unwind(AssertUnwindSafe(|| cycle(seed))) {
            Ok(count) => cases += count,
            Err(_) => {
                failures += 1;
                let (binary, name) = test.split_once(' ').unwrap();
                println!(
                    "\nFAILED {tier}: REPLIQ_SEED={seed} cargo test --locked --test {binary} -- \
                     --exact {name} --nocapture"
                );
            }
        }
        done += 1;
    }
    let seeds = format!("seeds {first} to {}", first + done - 1);
    say(tier, done, cases, &seeds, failures, begun);
    assert_eq!(failures, 0, "{tier}: see the seeds above");
}

/// The line of a tier that `scripts/ladder.sh` waits for.
pub fn say(tier: &str, cycles: u64, cases: u64, seeds: &str, failures: u64, begun: Instant) {
    println!(
        "\nLADDER {tier}: {cycles} cycles, {cases} cases, {seeds}, {failures} failures, {} s",
        begun.elapsed().as_secs()
    );
}
