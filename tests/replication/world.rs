//! Stores on model disks and links between them, in memory and on one thread.

use repliq::disk::model::{Cut, ModelDisk};
use repliq::replicate::{Select, Target, TargetStatus, receiver, sender, sender_of};
use repliq::{Code, Error, Machine, Message, Queue, Result, Store, StoreOptions};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub const ROOT: &str = "root";

/// A generator of numbers from a seed.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A machine with a disk and, while it is up, an open store.
pub struct Node {
    pub disk: ModelDisk,
    pub store: Option<Store>,
    pub options: StoreOptions,
    /// Rises with every life, so that links of a former one are known.
    pub life: u64,
}

pub fn options() -> StoreOptions {
    StoreOptions {
        password: crate::password(),
        helper: false,
        segment_bytes: 4096,
        segment_bytes_max: 16384,
        ..StoreOptions::default()
    }
}

static IDENTITIES: AtomicU64 = AtomicU64::new(1);

impl Node {
    pub fn new(seed: u64) -> Node {
        Node::with(seed, options())
    }

    pub fn with(seed: u64, options: StoreOptions) -> Node {
        let disk = ModelDisk::with_seed(seed);
        disk.set_identity(Some(IDENTITIES.fetch_add(1, Ordering::Relaxed)));
        let mut node = Node { disk, store: None, options, life: 0 };
        node.start().unwrap();
        node
    }

    pub fn start(&mut self) -> Result<()> {
        self.life += 1;
        self.store = Some(Store::open_on(Arc::new(self.disk.clone()), &self.options)?);
        Ok(())
    }

    pub fn up(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub fn stop(&mut self) {
        if let Some(store) = self.store.take() {
            store.close().unwrap();
        }
    }

    pub fn kill(&mut self) {
        self.disk = self.disk.kill();
        self.store = None;
    }

    pub fn power_cut(&mut self, cut: Cut) {
        self.disk = self.disk.power_cut(cut);
        self.store = None;
    }

    /// What the disk holds now, for later.
    pub fn copy(&self) -> ModelDisk {
        self.disk.clone_image()
    }

    /// Puts an older copy in the place of what is there: the same place, as a snapshot of the disk does.
    pub fn restore(&mut self, copy: &ModelDisk, seed: u64) {
        self.store = None;
        self.disk = copy.clone_image();
        self.disk.reseed(seed);
    }

    pub fn queue(&self, name: &str) -> Queue {
        self.up().queue(name).unwrap()
    }

    pub fn put(&self, queue: &str, payloads: &[String]) -> Result<repliq::Commit> {
        let queue = self.up().queue(queue)?;
        let messages: Vec<Message<'_>> =
            payloads.iter().map(|payload| Message::new(payload.as_bytes())).collect();
        self.up().put(queue, &messages)
    }

    pub fn put_one(&self, payload: &str) -> repliq::Commit {
        self.put(ROOT, &[payload.to_string()]).unwrap()
    }

    /// The queue's payloads, transaction by transaction.
    pub fn transactions(&self, queue: &str) -> Vec<Vec<String>> {
        let queue = self.queue(queue);
        let snapshot = self.up().snapshot().unwrap();
        let mut all: Vec<(u64, Vec<String>)> = Vec::new();
        let mut from = 1;
        loop {
            let found = snapshot.browse(queue, from, 10_000).unwrap();
            let Some(last) = found.last() else { break };
            from = last.sequence() + 1;
            for message in &found {
                let payload = String::from_utf8(message.payload().to_vec()).unwrap();
                match all.last_mut() {
                    Some((transaction, payloads)) if *transaction == message.transaction() => {
                        payloads.push(payload);
                    }
                    _ => all.push((message.transaction(), vec![payload])),
                }
            }
        }
        all.into_iter().map(|(_, payloads)| payloads).collect()
    }

    pub fn payloads(&self, queue: &str) -> Vec<String> {
        self.transactions(queue).concat()
    }
}

/// What a target of a root is made with.
#[derive(Clone, Debug)]
pub struct Plan {
    pub root: String,
    pub name: String,
    pub destination: String,
    pub user: String,
    pub select: Select,
}

impl Plan {
    pub fn new(root: &str, name: &str, destination: &str) -> Plan {
        Plan {
            root: root.to_string(),
            name: name.to_string(),
            destination: destination.to_string(),
            user: "replication".to_string(),
            select: Select::default(),
        }
    }
}

pub type Frame = (u8, Vec<u8>);

/// One connection: a sender, a receiver, and what is under way between them.
pub struct Link {
    pub target: Arc<Target>,
    pub sender: Box<dyn Machine>,
    pub receiver: Box<dyn Machine>,
    pub forth: VecDeque<Frame>,
    pub back: VecDeque<Frame>,
    /// Everything the sender ever said, to be said again later.
    pub said: Vec<Frame>,
    pub error: Option<Error>,
}

/// The clock of a world, which stands still unless it is moved.
#[derive(Clone, Copy)]
pub struct Clock {
    pub now: Instant,
}

impl Clock {
    pub fn new() -> Clock {
        Clock { now: Instant::now() }
    }

    pub fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }
}

impl Link {
    pub fn open(from: &Node, to: &Node, plan: &Plan) -> Result<Link> {
        Link::open_with(from, to, plan, |_| {})
    }

    pub fn open_with(
        from: &Node,
        to: &Node,
        plan: &Plan,
        prepare: impl FnOnce(&Target),
    ) -> Result<Link> {
        let root = from.up().queue(&plan.root)?;
        let url = format!("repliq://{}@{}", plan.user, plan.name);
        let target =
            Target::new(root.number(), &plan.name, &url, &plan.destination, plan.select.clone());
        prepare(&target);
        let (target, sender) = sender(from.up(), root, target, Arc::new(|| {}))?;
        Ok(Link::between(to, plan, target, Box::new(sender)))
    }

    /// A connection of a target that has a past.
    #[allow(dead_code)] // Not every tier needs it.
    pub fn again(from: &Node, to: &Node, plan: &Plan, target: Arc<Target>) -> Result<Link> {
        let (target, sender) = sender_of(from.up(), target, Arc::new(|| {}))?;
        Ok(Link::between(to, plan, target, Box::new(sender)))
    }

    fn between(to: &Node, plan: &Plan, target: Arc<Target>, sender: Box<dyn Machine>) -> Link {
        let rights = Box::new(|queue: &str| queue != "forbidden");
        let receiver = receiver(to.up(), &plan.user, rights, Arc::new(|| {}));
        Link {
            target,
            sender,
            receiver,
            forth: VecDeque::new(),
            back: VecDeque::new(),
            said: Vec::new(),
            error: None,
        }
    }

    pub fn is_over(&self) -> bool {
        self.error.is_some()
    }

    fn fail(&mut self, error: Error) {
        self.target.set_error(&error);
        self.error.get_or_insert(error);
    }

    /// Lets both sides say one thing each; false when neither had anything.
    pub fn speak(&mut self, now: Instant) -> bool {
        let mut body = Vec::new();
        let mut spoke = false;
        match self.sender.next_frame(now, &mut body) {
            Ok(Some(kind)) => {
                self.said.push((kind, body.clone()));
                self.forth.push_back((kind, std::mem::take(&mut body)));
                spoke = true;
            }
            Ok(None) => assert!(body.is_empty(), "nothing to send, and bytes in the body"),
            Err(error) => self.fail(error),
        }
        body.clear();
        match self.receiver.next_frame(now, &mut body) {
            Ok(Some(kind)) => {
                self.back.push_back((kind, body));
                spoke = true;
            }
            Ok(None) => {}
            Err(error) => self.fail(error),
        }
        spoke
    }

    /// Delivers one frame each way; false when there was none.
    pub fn deliver(&mut self, now: Instant) -> bool {
        let mut moved = false;
        if let Some((kind, body)) = self.forth.pop_front() {
            moved = true;
            if let Err(error) = self.receiver.on_frame(kind, &body, now) {
                self.fail(error);
            }
        }
        if let Some((kind, body)) = self.back.pop_front() {
            moved = true;
            if let Err(error) = self.sender.on_frame(kind, &body, now) {
                self.fail(error);
            }
        }
        moved
    }

    /// Runs until nothing happens any more, or the link is over.
    pub fn run(&mut self, clock: &mut Clock) {
        let mut quiet = 0;
        while quiet < 3 && !self.is_over() {
            let spoke = self.speak(clock.now);
            let moved = !self.is_over() && self.deliver(clock.now);
            if spoke || moved {
                quiet = 0;
            } else {
                quiet += 1;
                clock.pass(1_100);
            }
        }
    }

    pub fn status(&self, from: &Node) -> TargetStatus {
        from.up();
        self.target.status_in(from.up()).unwrap()
    }
}

/// Runs one connection to its end and returns the error it ended with, if any.
pub fn ship(from: &Node, to: &Node, plan: &Plan, clock: &mut Clock) -> Option<Error> {
    ship_with(from, to, plan, clock, |_| {})
}

pub fn ship_with(
    from: &Node,
    to: &Node,
    plan: &Plan,
    clock: &mut Clock,
    prepare: impl FnOnce(&Target),
) -> Option<Error> {
    let mut link = match Link::open_with(from, to, plan, prepare) {
        Ok(link) => link,
        Err(error) => return Some(error),
    };
    link.run(clock);
    link.error.take()
}

pub fn refused(error: Option<Error>, code: Code, words: &str) {
    let error = error.unwrap_or_else(|| panic!("nothing was refused, {words:?} was expected"));
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(words), "{error} does not say {words:?}");
}
