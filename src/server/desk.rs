//! What the network and the thread of a connection's sessions hand each other.
//!
//! Requests wait here in the order in which they came, answers until the socket takes them. Nothing is worked on while more
//! answers wait than a client that does not read may cost.
//!
//! That messages were staged is told with what comes next: mostly the commit behind them, whose client waits for that alone.
//!
//! Promises: the network is woken for every answer before the thread sleeps, unless a commit is under way, which wakes it.

use crate::error::{Code, Error, Result};
use crate::store::Commit;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wire::{Answer, REQUESTS_MAX, Waker};
use std::collections::VecDeque;
use std::time::Instant;

/// Bytes of requests that wait.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Bytes of answers that wait for the socket above which nothing more is worked on.
const ANSWERS_BYTES_MAX: usize = 4 << 20;

/// Answers that may be at hand without the network being told.
const UNTOLD_MAX: usize = 16;

/// A frame: its kind and its body.
pub type Frame = (u8, Vec<u8>);

/// What lies between the two.
pub struct Desk {
    papers: Mutex<Papers>,
    bell: Condvar,
    waker: Waker,
}

#[derive(Default)]
struct Papers {
    jobs: VecDeque<Frame>,
    bytes: usize,
    answers: VecDeque<Frame>,
    answers_bytes: usize,
    /// Requests that are neither answered nor wait for messages.
    open: usize,
    /// Answers of which the network was not told.
    untold: usize,
    /// Commits that are answered when they are durable.
    commits: usize,
    rung: bool,
    ended: bool,
}

impl Papers {
    fn is_full(&self) -> bool {
        self.answers_bytes > ANSWERS_BYTES_MAX
    }

    fn put(&mut self, kind: u8, body: Vec<u8>, ends: usize) {
        self.answers_bytes += body.len();
        self.answers.push_back((kind, body));
        self.open -= ends;
    }
}

/// For the network.
impl Desk {
    /// An empty one; the waker is the connection's.
    pub fn new(waker: Waker) -> Desk {
        Desk { papers: Mutex::default(), bell: Condvar::new(), waker }
    }

    /// Takes a request.
    pub fn take(&self, kind: u8, body: &[u8]) -> Result<()> {
        let mut papers = self.papers.lock();
        papers.bytes += body.len();
        if papers.bytes > WAITING_BYTES_MAX || papers.jobs.len() >= REQUESTS_MAX {
            let text = "too many requests of sessions, or more than 64 MiB of them, wait";
            return Err(Error::new(Code::Quota, text));
        }
        papers.jobs.push_back((kind, body.to_vec()));
        papers.open += 1;
        drop(papers);
        self.bell.notify_one();
        Ok(())
    }

    /// The next answer.
    pub fn next_answer(&self) -> Option<Frame> {
        let mut papers = self.papers.lock();
        let answer = papers.answers.pop_front()?;
        let was_full = papers.is_full();
        papers.answers_bytes -= answer.1.len();
        if was_full && !papers.is_full() {
            self.bell.notify_one();
        }
        Some(answer)
    }

    /// Requests that are not answered, without those that wait for messages.
    pub fn open(&self) -> usize {
        let papers = self.papers.lock();
        papers.open + papers.answers.len()
    }

    /// The connection is gone.
    pub fn end(&self) {
        self.papers.lock().ended = true;
        self.bell.notify_one();
    }
}

/// For the thread of the sessions.
impl Desk {
    /// The next request, or that something moved or `until` is over; `None` when the connection is gone.
    pub fn next(&self, until: Option<Instant>) -> Option<Option<Frame>> {
        let mut papers = self.papers.lock();
        loop {
            if papers.ended {
                return None;
            }
            if !papers.is_full()
                && let Some(job) = papers.jobs.pop_front()
            {
                papers.bytes -= job.1.len();
                return Some(Some(job));
            }
            if !papers.is_full() && std::mem::take(&mut papers.rung) {
                return Some(None);
            }
            if papers.untold > 0 && papers.commits == 0 {
                papers.untold = 0;
                MutexGuard::unlocked(&mut papers, || (self.waker)());
                continue;
            }
            match until {
                None => self.bell.wait(&mut papers),
                Some(until) => {
                    if self.bell.wait_until(&mut papers, until).timed_out() {
                        return Some(None);
                    }
                }
            }
        }
    }

    /// Something moved.
    pub fn ring(&self) {
        self.papers.lock().rung = true;
        self.bell.notify_one();
    }

    /// A request waits for messages, or gets no answer at all.
    pub fn put_aside(&self) {
        self.papers.lock().open -= 1;
    }

    /// One that waited is to be answered.
    pub fn take_up(&self) {
        self.papers.lock().open += 1;
    }

    /// Puts an answer where the network finds it; it ends so many requests.
    pub fn answer(&self, kind: u8, body: Vec<u8>, ends: usize) {
        let mut papers = self.papers.lock();
        papers.put(kind, body, ends);
        papers.untold = 0;
        drop(papers);
        (self.waker)();
    }

    /// The same for an answer to one request that nobody waits for by itself.
    pub fn answer_by_the_way(&self, kind: u8, body: Vec<u8>) {
        let mut papers = self.papers.lock();
        papers.put(kind, body, 1);
        papers.untold += 1;
        if papers.untold >= UNTOLD_MAX {
            papers.untold = 0;
            drop(papers);
            (self.waker)();
        }
    }

    /// A commit was appended; [`Desk::stored`] tells it, or that there is none, once that is known.
    pub fn begin_commit(&self) {
        self.papers.lock().commits += 1;
    }

    /// The same as [`Desk::stored`], of a commit that was begun.
    pub fn end_commit(&self, number: u32, outcome: Result<Commit>) {
        self.papers.lock().commits -= 1;
        self.stored(number, outcome);
    }

    /// Tells a commit, or why there is none.
    pub fn stored(&self, number: u32, outcome: Result<Commit>) {
        let mut body = Vec::new();
        let answer = match outcome {
            Ok(commit) => Answer::Stored(commit.token, commit.level),
            Err(error) => Answer::Refused(error),
        };
        // These have no lengths that could be too large.
        if let Ok(kind) = answer.encode(number, &mut body) {
            self.answer(kind, body, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{AtomicUsize, Ordering};
    use std::sync::Arc;

    /// A desk, and how often the network was woken.
    fn desk() -> (Desk, Arc<AtomicUsize>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        let wake = move || _ = count.fetch_add(1, Ordering::SeqCst);
        (Desk::new(Arc::new(wake)), woken)
    }

    /// Lets the thread look for work until a moment from now: there is none.
    fn sleep(desk: &Desk) {
        assert!(desk.next(Some(Instant::now())).is_some_and(|job| job.is_none()));
    }

    #[test]
    fn what_was_staged_is_told_with_the_commit_behind_it_and_without_one_before_the_thread_sleeps()
    {
        let (desk, woken) = desk();
        let woken = || woken.load(Ordering::SeqCst);
        for request in 0..3 {
            desk.take(1, &[request]).unwrap();
            desk.next(None).unwrap().unwrap();
        }
        desk.answer_by_the_way(7, vec![0]);
        desk.begin_commit();
        sleep(&desk);
        assert_eq!(woken(), 0);
        desk.end_commit(1, Err(Error::new(Code::Io, "a test")));
        assert_eq!(woken(), 1);
        assert_eq!(desk.next_answer().unwrap(), (7, vec![0]), "in the order of the requests");
        assert!(desk.next_answer().is_some());
        sleep(&desk);
        assert_eq!(woken(), 1, "nothing was told since");
        desk.answer_by_the_way(7, vec![2]);
        sleep(&desk);
        assert_eq!((woken(), desk.open()), (2, 1));
    }

    #[test]
    fn who_stages_and_stages_is_told_now_and_then() {
        let (desk, woken) = desk();
        for _ in 0..2 * UNTOLD_MAX {
            desk.take(1, &[]).unwrap();
            desk.answer_by_the_way(7, Vec::new());
        }
        assert_eq!(woken.load(Ordering::SeqCst), 2);
    }
}
