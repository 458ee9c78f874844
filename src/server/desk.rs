//! What the network and the thread of a connection's sessions hand each other.
//!
//! Requests wait here in the order in which they came, answers until the socket takes them. Nothing is worked on while more
//! answers wait than a client that does not read may cost.

use crate::error::{Code, Error, Result};
use crate::store::Commit;
use crate::sync::{Condvar, Mutex};
use crate::wire::{Answer, REQUESTS_MAX, Waker};
use std::collections::VecDeque;
use std::time::Instant;

/// Bytes of requests that wait.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Bytes of answers that wait for the socket above which nothing more is worked on.
const ANSWERS_BYTES_MAX: usize = 4 << 20;

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
    rung: bool,
    ended: bool,
}

impl Papers {
    fn is_full(&self) -> bool {
        self.answers_bytes > ANSWERS_BYTES_MAX
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
        papers.answers_bytes += body.len();
        papers.answers.push_back((kind, body));
        papers.open -= ends;
        drop(papers);
        (self.waker)();
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
