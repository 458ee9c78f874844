//! The replication tutorial: one root queue, two servers, jobs that arrive whole or not at all.
//!
//! Usage: replication [DIRECTORY [ADDRESS ADDRESS]]
//!
//! The servers are `hello_world` of any language. Neither has to run when this starts: what is sent is on this
//! disk, and goes out as soon as a server is there.

#[allow(dead_code)] // A sender only packs.
#[path = "../../hello_world/rust/pack.rs"]
mod pack;

use std::error::Error;
use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use pack::{Eleven, Object, Packer};
use repliq::{ConnectOptions, Replication, ReplicationOptions, Store, StoreOptions, TargetOptions};

const ROOT: &str = "hw_root_queue_name";
const SAY_HELLO: u16 = 0x2002;
const SLEEP: u16 = 0x2003;
const ECHO: u16 = 0x2004;

fn hello(first: &str, last: &str) -> Vec<u8> {
    Packer::default().string(Some(first)).string(Some(last)).0
}

fn echo() -> Vec<u8> {
    let eleven = Eleven {
        null_string: None,
        null_object: Object::Null,
        time_us: 1_700_000_000_000_000,
        double: 1234.567,
        flag: true,
        unicode: Some("Unicode".into()),
        ascii: Some("ASCII".into()),
        object_flag: Object::Bool(true),
        object_string: Object::Text("test".into()),
        strings: vec![Some("Hello".into()), Some("world".into())],
        numbers: vec![1, 76890],
    };
    Packer::default().eleven(&eleven).0
}

fn target(password: &str) -> TargetOptions {
    let connect = ConnectOptions {
        password: Some(password.into()),
        plain: true,
        reconnect_ms_max: 5_000,
        ..ConnectOptions::default()
    };
    TargetOptions { connect, ..TargetOptions::default() }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let mut word = |default: &str| words.next().unwrap_or(default.into());
    let directory = word("sp_test");
    let local = format!("repliq://replication@{}", word("127.0.0.1:20901"));
    let linux = format!("repliq://remote_rep@{}", word("127.0.0.1:20902"));

    fs::create_dir_all(&directory)?;
    let options = StoreOptions { password: Some("MyQPassword".into()), ..StoreOptions::default() };
    let place = Path::new(&directory).join(format!("{ROOT}.repliq"));
    let store = Store::open(place, &options)?;
    // ANCHOR: send
    let root = store.queue(ROOT)?;
    let replication = Replication::open(&store, root, &ReplicationOptions::default())?;
    replication.add("Tolocal", &local, &target("p4localhost"))?;
    replication.add("ToLinux", &linux, &target("PassOne"))?;

    // ANCHOR: job
    // A job: both requests or neither.
    replication.start_job()?;
    replication.send(SAY_HELLO, &hello("David", "Young"))?;
    replication.send(ECHO, &echo())?;
    replication.end_job()?;
    // ANCHOR_END: job

    // Outside a job each request is a transaction of its own.
    replication.send(SAY_HELLO, &hello("Jack", "Smith"))?;
    let last = replication.send(SLEEP, &Packer::default().i32(5).0)?;

    // ANCHOR: abort
    // A job that is given up leaves nothing, here or at any server.
    replication.start_job()?;
    replication.send(SAY_HELLO, &hello("Nobody", "Here"))?;
    replication.abort_job()?;
    // ANCHOR_END: abort

    // ANCHOR: wait
    // Everything is on this disk now; this waits until it is on the servers' disks.
    store.wait("target:*", &[last.token], Duration::from_secs(60))?;
    // ANCHOR_END: wait
    // ANCHOR_END: send
    println!("everybody has it");
    replication.close()?;
    store.close()?;
    Ok(())
}
