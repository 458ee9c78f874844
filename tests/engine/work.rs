//! The workloads the tiers have in common: lives of a store, one after the other.

use crate::oracle::{Client, End, small};
use repliq::disk::model::{Cut, ModelDisk};
use repliq::{Level, Store, StoreOptions};

/// One thing a client does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Puts messages of these lengths into a queue as one transaction.
    Put(&'static str, Vec<usize>, Level),
    /// Receives at most so many and acknowledges every n-th of them, the last first.
    Consume(&'static str, &'static str, usize, usize),
    /// Receives at most so many and gives all of them back, to be given out again.
    Again(&'static str, &'static str, usize),
    /// Receives at most so many and puts all of them to the end of the queue.
    ToEnd(&'static str, &'static str, usize),
    /// Receives from a queue and puts into others, in one transaction.
    Move(&'static str, &'static str, usize, &'static [&'static str], Level),
    /// The same in a transaction that is prepared.
    Prepare(&'static str, &'static str, usize, &'static [&'static str]),
    /// Commits the oldest prepared transaction, or rolls it back.
    Finish(bool),
    Purge(&'static str),
    Pause(&'static str),
    Resume(&'static str),
    Delete(&'static str),
    /// Makes so many queues with long names; nothing waits for them to be durable.
    Queues(usize),
    /// Closes the store and opens it again.
    Reopen,
}

/// How a life begins: what became of the one before.
#[derive(Clone, Debug)]
pub enum Begin {
    Fresh,
    Kill,
    Cut(Cut),
}

/// An open and what is done until the machine ends.
#[derive(Clone, Debug)]
pub struct Life {
    pub begin: Begin,
    pub acts: Vec<Act>,
}

/// Lives of one store.
pub struct Work {
    pub name: &'static str,
    pub segment: u64,
    /// What survives of what the client has seen.
    pub horizon: Level,
    pub lives: Vec<Life>,
}

use Act::{
    Again, Consume, Delete, Finish, Move, Pause, Prepare, Purge, Put, Queues, Reopen, Resume, ToEnd,
};
use Level::{Power, Process};

fn put(queue: &'static str, lengths: &[usize], level: Level) -> Act {
    Put(queue, lengths.to_vec(), level)
}

fn fresh(acts: Vec<Act>) -> Life {
    Life { begin: Begin::Fresh, acts }
}

fn after_kill(acts: Vec<Act>) -> Life {
    Life { begin: Begin::Kill, acts }
}

fn after_cut(cut: Cut, acts: Vec<Act>) -> Life {
    Life { begin: Begin::Cut(cut), acts }
}

fn many(count: usize, act: impl Fn(usize) -> Vec<Act>) -> Vec<Act> {
    (0..count).flat_map(act).collect()
}

/// Everything the engine writes, in journals of a few sectors.
pub fn all() -> Vec<Work> {
    let work = |name, lives| Work { name, segment: 4096, horizon: Power, lives };
    vec![
        work(
            "puts",
            vec![fresh(vec![
                put("a", &[10], Power),
                put("b", &[100, 200], Power),
                put("a", &[700, 1, 300], Power),
                put("b", &[0], Power),
                put("a", &[900], Power),
                put("c", &[500, 500], Power),
            ])],
        ),
        work(
            "acknowledgements",
            vec![fresh(vec![
                put("a", &[50; 6], Power),
                Consume("a", "one", 4, 2),
                Consume("a", "two", 6, 3),
                put("a", &[400; 4], Power),
                Consume("a", "one", 20, 1),
                Consume("a", "two", 20, 1),
                put("a", &[30], Power),
                Consume("a", "one", 20, 1),
            ])],
        ),
        work(
            "rolls and reclaim",
            vec![fresh(many(9, |_| {
                vec![put("a", &[800], Power), put("a", &[600], Power), Consume("a", "c", 9, 1)]
            }))],
        ),
        work(
            "sessions",
            vec![fresh(vec![
                put("a", &[200; 5], Power),
                Move("a", "mover", 2, &["b", "c"], Power),
                Move("a", "mover", 2, &["b"], Process),
                put("b", &[900], Power),
                Move("b", "mover", 3, &["c", "a"], Power),
                Consume("c", "end", 9, 1),
            ])],
        ),
        work(
            "remembered sessions",
            vec![
                fresh(vec![
                    put("a", &[200; 6], Power),
                    Move("a", "known", 2, &["b", "c"], Power),
                    Move("a", "known", 2, &["b"], Process),
                    put("b", &[900], Power),
                    Move("a", "known", 3, &["c"], Power),
                ]),
                after_cut(
                    Cut::Random(3),
                    vec![
                        put("a", &[700; 2], Power),
                        Move("a", "known", 2, &["b", "c"], Power),
                        Reopen,
                        Move("b", "known", 9, &["a"], Power),
                    ],
                ),
            ],
        ),
        work(
            "prepared",
            vec![
                fresh(vec![
                    put("a", &[150; 6], Power),
                    Prepare("a", "mover", 2, &["b", "c"]),
                    Consume("a", "mover", 1, 1),
                    Prepare("a", "mover", 1, &["b"]),
                    put("b", &[900], Power),
                    Finish(true),
                    Prepare("a", "mover", 9, &[]),
                    Finish(false),
                    put("c", &[700], Process),
                ]),
                after_cut(
                    Cut::Random(13),
                    vec![
                        put("a", &[900, 900], Power),
                        Prepare("a", "mover", 2, &["c"]),
                        Reopen,
                        put("b", &[900; 2], Power),
                        Finish(true),
                        Consume("a", "mover", 9, 1),
                    ],
                ),
                after_kill(vec![
                    put("b", &[900], Power),
                    Finish(false),
                    Prepare("b", "other", 1, &["a"]),
                    Finish(true),
                    Consume("a", "mover", 9, 1),
                ]),
            ],
        ),
        work(
            "process",
            vec![
                fresh(vec![
                    put("a", &[100], Process),
                    put("b", &[100], Power),
                    put("a", &[300; 3], Process),
                    put("a", &[40], Process),
                    Consume("a", "c", 2, 1),
                    put("b", &[10], Process),
                ]),
                after_cut(Cut::Nothing, vec![put("a", &[70], Process), put("b", &[70], Power)]),
                after_kill(vec![put("a", &[80], Process), Reopen, put("a", &[80], Power)]),
            ],
        ),
        work(
            "process over rolls",
            vec![
                fresh(many(8, |n| vec![put("a", &[700 + n, 100], Process)])),
                after_kill(many(3, |_| vec![put("a", &[900], Process), Consume("a", "c", 3, 1)])),
                after_cut(Cut::Random(7), vec![put("a", &[60], Process)]),
            ],
        ),
        work(
            "reopens",
            vec![
                fresh(vec![put("a", &[400], Power), Reopen, put("a", &[1200], Power), Reopen]),
                after_kill(vec![put("a", &[800, 300], Power), Reopen, put("a", &[700], Power)]),
                after_kill(vec![put("a", &[1500], Power), put("b", &[900], Power)]),
                after_cut(Cut::Nothing, vec![put("a", &[900], Power), Reopen]),
                after_cut(Cut::All, vec![put("b", &[900], Power)]),
            ],
        ),
        work(
            "purge, pause, delete",
            vec![fresh(vec![
                put("a", &[300; 3], Power),
                put("b", &[300; 3], Power),
                Consume("a", "c", 1, 1),
                Purge("a"),
                Pause("b"),
                put("b", &[10], Power),
                Resume("b"),
                put("a", &[900], Power),
                Delete("b"),
                put("b", &[900], Power),
                put("a", &[900], Power),
                Consume("a", "c", 9, 1),
                put("b", &[900], Power),
            ])],
        ),
        work(
            "large",
            vec![fresh(vec![
                put("a", &[10], Power),
                put("a", &[6000], Power),
                put("a", &[20], Process),
                put("a", &[9000, 9000], Process),
                Consume("a", "c", 3, 1),
                put("a", &[3000], Power),
            ])],
        ),
        work(
            "staged",
            vec![
                fresh(vec![
                    put("a", &[10], Power),
                    put("a", &[400; 5], Power),
                    put("a", &[20], Power),
                    Consume("a", "c", 4, 1),
                    put("b", &[900; 6], Process),
                    put("a", &[30, 30], Power),
                    Consume("a", "c", 9, 2),
                    Move("b", "mover", 9, &["a", "d"], Power),
                    Consume("a", "c", 99, 1),
                    put("d", &[300; 4], Power),
                ]),
                after_cut(
                    Cut::Random(11),
                    vec![put("b", &[500; 4], Power), Reopen, put("b", &[5], Power)],
                ),
                after_kill(vec![
                    Consume("b", "mover", 99, 1),
                    put("b", &[700, 700], Process),
                    put("b", &[8], Power),
                    Purge("d"),
                ]),
            ],
        ),
        work(
            "rolls without a sync",
            vec![
                fresh(vec![put("a", &[100], Power), Queues(16), put("a", &[100], Power)]),
                after_cut(Cut::Random(9), vec![Queues(9), Consume("a", "c", 1, 1), Queues(6)]),
            ],
        ),
        work(
            "deliveries",
            vec![
                fresh(vec![
                    put("a", &[60; 4], Power),
                    Again("a", "c", 3),
                    ToEnd("a", "c", 2),
                    put("a", &[900, 900], Power),
                    Consume("a", "c", 2, 2),
                    put("a", &[900, 900], Power),
                    Again("a", "c", 4),
                ]),
                after_cut(Cut::Random(4), vec![ToEnd("a", "c", 9), Consume("a", "c", 9, 2)]),
                after_kill(vec![put("a", &[1800], Power), Again("a", "c", 3), Reopen]),
            ],
        ),
        work(
            "many lives",
            vec![
                fresh(many(4, |_| vec![put("a", &[900], Power)])),
                after_cut(Cut::Random(1), vec![put("a", &[1100], Power), put("a", &[9], Process)]),
                after_cut(Cut::Random(2), vec![put("a", &[1900], Power)]),
                after_kill(vec![Consume("a", "c", 4, 1), put("a", &[1000], Process)]),
                after_cut(Cut::Random(3), vec![put("a", &[1000], Power), Consume("a", "c", 2, 1)]),
                after_kill(vec![put("a", &[100], Power)]),
            ],
        ),
        Work {
            name: "one long segment",
            segment: 16 << 10,
            horizon: Power,
            lives: vec![
                fresh(many(6, |n| vec![put("a", &[100 * n, 50], Power), put("b", &[5], Process)])),
                after_cut(Cut::Random(5), vec![put("a", &[700], Power)]),
            ],
        },
        work(
            "two consumers hold segments",
            vec![fresh(many(4, |n| {
                vec![
                    put("a", &[500, 500, 500], Power),
                    Consume("a", "fast", 9, 1),
                    put("b", &[300], Power),
                    Consume("a", "slow", 2 + n, 1),
                ]
            }))],
        ),
    ]
}

/// Lives that lost positions they had handed out; the tail ends at any place of a sector.
pub fn lost_positions() -> Vec<Work> {
    let lives = |length: usize| {
        let lost = many(4, |_| vec![put("a", &[0], Process)]);
        vec![
            fresh([vec![put("a", &[length], Power)], lost].concat()),
            after_cut(Cut::Nothing, vec![put("a", &[1], Process)]),
        ]
    };
    let work = |n: usize| Work {
        name: "lost positions",
        segment: 8192,
        horizon: Power,
        lives: lives(n * 40),
    };
    (0..13).map(work).collect()
}

/// Does one act.
pub fn act(client: &mut Client, act: &Act) -> bool {
    match act {
        Put(queue, lengths, level) => client.put(queue, lengths, *level),
        Consume(queue, name, max, every) => {
            client.consume(queue, name, *max, |at| at % every == every - 1)
        }
        Again(queue, name, max) => client.reject(queue, name, *max, |_| true),
        ToEnd(queue, name, max) => client.put_to_end(queue, name, *max),
        Move(from, name, max, to, level) => client.move_on(from, name, *max, to, *level),
        Prepare(from, name, max, to) => client.prepare(from, name, *max, to),
        Finish(commit) => client.finish(*commit),
        Purge(queue) => client.purge(queue),
        Pause(queue) => {
            client.change(queue, Store::queue_pause, |model| model.queue(queue).paused = true)
        }
        Resume(queue) => {
            client.change(queue, Store::queue_resume, |model| model.queue(queue).paused = false)
        }
        Delete(queue) => client.delete_queue(queue),
        Queues(count) => (0..*count).all(|n| {
            let name = format!("{:04}{}", client.now().queues.len() + n, "n".repeat(240));
            client.queue(&name).is_some()
        }),
        Reopen => client.close() && client.open(),
    }
}

/// Lives through everything before life `last` and gets that one ready to be opened.
pub fn live_until(work: &Work, last: usize) -> Client {
    let options = StoreOptions { horizon: work.horizon, ..small(work.segment) };
    let mut client = Client::new(ModelDisk::new(), options);
    for (at, life) in work.lives[..=last].iter().enumerate() {
        let end = begin(&mut client, life);
        if at == last {
            break;
        }
        assert!(open(&mut client, end), "{}: life {at} does not open", work.name);
        for one in &life.acts {
            act(&mut client, one);
        }
    }
    client
}

/// Gives the client the disk its next life finds.
pub fn begin(client: &mut Client, life: &Life) -> Option<End> {
    let (disk, end) = match &life.begin {
        Begin::Fresh => return None,
        Begin::Kill => (client.disk.kill(), End::Kill),
        Begin::Cut(cut) => {
            client.power_was_cut();
            (client.disk.power_cut(cut.clone()), End::Power)
        }
    };
    client.store = None;
    client.disk = disk;
    Some(end)
}

/// Opens the store of a life.
pub fn open(client: &mut Client, end: Option<End>) -> bool {
    match end {
        None => client.open(),
        Some(end) => client.go_on(client.disk.clone(), end),
    }
}

/// How the life before one ended.
pub fn end_of(life: &Life) -> Option<End> {
    match life.begin {
        Begin::Fresh => None,
        Begin::Kill => Some(End::Kill),
        Begin::Cut(_) => Some(End::Power),
    }
}
