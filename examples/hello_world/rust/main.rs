//! Tutorial one: a server that greets, sleeps and echoes.
//!
//! Usage: hello_world [DIRECTORY [ADDRESS]]
//!
//! Requests arrive from any sender of the tutorial in the queue `hw_root_queue_name`, or `Tolocal`, and each is
//! worked on once it is durable here. The answer goes into the queue `replies` in the same transaction that
//! acknowledges the request, so it is there exactly once; what is printed may be printed twice when the server is
//! killed in between.

#[allow(dead_code)] // A server only unpacks.
mod pack;

use std::time::Duration;
use std::{env, io, thread};

use pack::Unpacker;
use repliq::{
    ConsumerOptions, Handled, Listener, ListenerOptions, Message, Policy, Received, Right, Server,
    ServerOptions, Store, StoreOptions, UserSource, Users, Verb,
};

const SAY_HELLO: u16 = 0x2002;
const SLEEP: u16 = 0x2003;
const ECHO: u16 = 0x2004;

fn work(request: &Received) -> Result<String, String> {
    let mut arguments = Unpacker(request.payload());
    let reply = match request.kind() {
        SAY_HELLO => {
            let first = arguments.string()?.filter(|name| !name.is_empty());
            let last = arguments.string()?.unwrap_or_default();
            format!("Hello {} {last}", first.ok_or("a greeting without a first name")?)
        }
        SLEEP => {
            let ms = arguments.i32()?;
            let wait = u64::try_from(ms).map_err(|_| format!("cannot sleep {ms} ms"))?;
            thread::sleep(Duration::from_millis(wait));
            format!("Sleep {ms}")
        }
        ECHO => arguments.eleven()?.to_string(),
        other => return Err(format!("there is no request {other:#x}")),
    };
    arguments.end()?;
    Ok(reply)
}

// ANCHOR: listen
/// Works on the requests of one queue, on a thread of its own.
fn listen(store: &Store, queue: &str) -> repliq::Result<Listener> {
    let replies = store.queue("replies")?;
    let requests = store.queue(queue)?;
    let consumer = store.consumer("hello_world", requests, &ConsumerOptions::default())?;
    // What fails three times goes to the queue `errors`, and those behind it go on.
    let policy = Policy::DeadLetter { after: 3, queue: "errors".into() };
    let options = ListenerOptions { policy, retry_ms: 10, ..ListenerOptions::default() };
    Listener::open(store, consumer, &options, move |session, requests| {
        for request in requests {
            let reply = match work(request) {
                Ok(reply) => reply,
                Err(reason) => return Handled::Retry(reason),
            };
            println!("{reply}");
            if let Err(error) = session.put(replies, &Message::new(reply.as_bytes())) {
                return Handled::Retry(error.to_string());
            }
        }
        Handled::Done
    })
}
// ANCHOR_END: listen

fn main() -> repliq::Result<()> {
    let mut words = env::args().skip(1);
    let directory = words.next().unwrap_or("hello_world_store".into());
    let address = words.next().unwrap_or("127.0.0.1:20901".into());
    let queues = ["hw_root_queue_name", "Tolocal"];

    // ANCHOR: serve
    let mut users = Users::new();
    let rights = [Right { verbs: vec![Verb::Replicate], queues: queues.map(String::from).into() }];
    for (name, password) in [("replication", "p4localhost"), ("remote_rep", "PassOne")] {
        users.add(name, &password.into())?;
        users.set_rights(name, &rights)?;
    }
    let store = Store::open(directory, &StoreOptions::default())?;
    let listeners = queues.map(|queue| listen(&store, queue));
    let server = Server::open(
        &store,
        &ServerOptions {
            listen: vec![address],
            plain: true,
            users: UserSource::Inline(users),
            ..ServerOptions::default()
        },
    )?;
    println!("listening on {}, press Enter to end", server.addresses()[0]);
    // ANCHOR_END: serve
    // The end of the input ends the server, too.
    let _ = io::stdin().read_line(&mut String::new());
    server.close();
    for listener in listeners {
        listener?.close()?;
    }
    store.close()
}
