//! A session is one thread's at a time. Rust says so when it compiles; here two threads have it all the same, as they
//! may in other languages, through the C ABI those stand on.

use crate::place::{Place, until};
use repliq::Code;
use repliq::capi::*;
use std::ffi::CString;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

const OK: repliq_code = 0;
const BUSY: repliq_code = Code::Busy as i32;

/// What a program in C has open.
struct Program {
    store: *mut repliq_store,
    queue: repliq_queue,
    consumer: *mut repliq_consumer,
    session: *mut repliq_session,
}

// SAFETY: handles are tickets, which may be used from any thread.
unsafe impl Sync for Program {}

fn bytes(of: &[u8]) -> repliq_bytes {
    repliq_bytes { data: of.as_ptr().cast(), len: of.len() }
}

fn message(payload: &[u8]) -> repliq_message {
    // SAFETY: all zeros is an empty message.
    let empty: repliq_message = unsafe { std::mem::zeroed() };
    repliq_message { payload: bytes(payload), ..empty }
}

impl Program {
    fn open(at: &str) -> Program {
        let at = CString::new(at).unwrap();
        let mut program =
            Program { store: null_mut(), queue: 0, consumer: null_mut(), session: null_mut() };
        // SAFETY: all zeros are the defaults of every option but the size.
        let mut options: repliq_store_options = unsafe { std::mem::zeroed() };
        options.size = size_of::<repliq_store_options>();
        if at.to_str().unwrap().contains("://") {
            options.password = bytes(b"secret");
        }
        // SAFETY: texts that end, options of their size, and places for what is opened.
        unsafe {
            assert_eq!(repliq_store_open(at.as_ptr(), &options, &mut program.store), OK);
            let queue = &mut program.queue;
            assert_eq!(repliq_store_queue(program.store, c"q".as_ptr(), queue), OK);
            let consumer = &mut program.consumer;
            let name = c"r".as_ptr();
            assert_eq!(
                repliq_consumer_open(program.store, name, program.queue, null(), consumer),
                OK
            );
            assert_eq!(repliq_session_open(program.store, null(), &mut program.session), OK);
        }
        program
    }

    fn put(&self, payload: &[u8]) -> repliq_code {
        // SAFETY: one message, which is readable.
        unsafe { repliq_session_put(self.session, self.queue, &message(payload), 1) }
    }

    fn receive(&self, timeout_ms: u64) -> (repliq_code, usize) {
        let (mut room, mut count) = (message(b""), 0);
        // SAFETY: room for one message and for the number.
        let code = unsafe {
            let (session, consumer) = (self.session, self.consumer);
            repliq_session_receive(session, consumer, &mut room, 1, timeout_ms, &mut count)
        };
        (code, count)
    }

    fn commit(&self) -> repliq_code {
        // SAFETY: nobody wants the result.
        unsafe { repliq_session_commit(self.session, null_mut()) }
    }

    fn store_put(&self, payload: &[u8]) {
        let message = message(payload);
        // SAFETY: one message, which is readable.
        let code =
            unsafe { repliq_store_put(self.store, self.queue, &message, 1, null(), null_mut()) };
        assert_eq!(code, OK);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: each is closed once.
        unsafe {
            assert_eq!(repliq_session_close(self.session), OK);
            assert_eq!(repliq_consumer_close(self.consumer), OK);
            assert_eq!(repliq_store_close(self.store), OK);
        }
    }
}

fn everywhere(row: impl Fn(&Program)) {
    let folder = tempfile::tempdir().unwrap();
    row(&Program::open(folder.path().join("store").to_str().unwrap()));
    let place = Place::on_socket();
    row(&Program::open(&place.socket()));
}

#[test]
fn txs_20_a_second_thread_in_a_session_is_told_busy_and_the_first_call_is_unharmed() {
    everywhere(|program| {
        std::thread::scope(|scope| {
            let first = scope.spawn(|| program.receive(60_000));
            until("the first thread is inside", || program.put(b"early") == BUSY);
            assert_eq!(program.commit(), BUSY);
            assert_eq!(program.receive(0).0, BUSY);
            // SAFETY: a handle that is open.
            unsafe {
                assert_eq!(repliq_session_rollback(program.session), BUSY);
                assert_eq!(repliq_session_close(program.session), BUSY);
            }
            program.store_put(b"x");
            assert_eq!(first.join().unwrap(), (OK, 1));
        });
        assert_eq!(program.commit(), OK);
        // What was put before the first thread came may have been part of it.
        while program.receive(0) == (OK, 1) {}
        assert_eq!(program.commit(), OK);
    });
}

#[test]
fn txs_20_threads_that_race_for_the_commits_of_a_session_lose_and_repeat_nothing() {
    everywhere(|program| {
        let put = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        match program.put(b"x") {
                            OK => _ = put.fetch_add(1, Ordering::SeqCst),
                            code => assert_eq!(code, BUSY),
                        }
                        let code = program.commit();
                        assert!([OK, BUSY].contains(&code), "{code}");
                    }
                });
            }
        });
        assert_eq!(program.commit(), OK);
        let mut count = 0;
        while program.receive(0) == (OK, 1) {
            count += 1;
        }
        assert_eq!(program.commit(), OK);
        assert_eq!(count, put.load(Ordering::SeqCst));
        assert!(count > 0, "nobody came in");
    });
}
