//! The tutorial of prepared transactions: money moves between two banks, each with a store of its own, and none is lost
//! or made, wherever the program is stopped.
//!
//! Usage: two_banks [NAME [TRANSFERS [step]]]
//!
//! A bank is a store with a book of one page: its balance, and the number of the transfer that led to it. A transfer is a
//! transaction in each bank. Both are prepared, then the page of the coordinator's book says what becomes of them, and then
//! they end as it says. The stores are the directories NAME.east, NAME.west and NAME.notes. With `step` the program waits for
//! Enter after each step: kill it at any, and run it again.

use std::io::BufRead;
use std::time::Duration;

use repliq::{
    Code, Consumer, ConsumerOptions, Message, Queue, Session, Store, StoreOptions, TransactionId,
};

/// A store with a queue of one message, and the session that has taken it.
struct Book {
    store: Store,
    page: Queue,
    reader: Consumer,
    session: Session,
}

impl Book {
    fn open(directory: &str) -> repliq::Result<Book> {
        let store = Store::open(directory, &StoreOptions::default())?;
        let page = store.queue("page")?;
        let reader = store.consumer("reader", page, &ConsumerOptions::default())?;
        let session = store.session()?;
        Ok(Book { store, page, reader, session })
    }

    /// What stands on the page; on a new one `first`, which is written.
    fn take(&mut self, first: &str) -> repliq::Result<String> {
        loop {
            if let Some(taken) = self.session.receive(&self.reader, 1, Duration::ZERO)?.first() {
                return Ok(String::from_utf8_lossy(taken.payload()).into_owned());
            }
            self.put(first)?;
            self.session.commit()?;
        }
    }

    /// The balance, and the number of the last transfer.
    fn balance(&mut self) -> repliq::Result<(i64, u32)> {
        let text = self.take("1000 0")?;
        let (balance, number) = text.split_once(' ').expect("a balance and a number");
        Ok((balance.parse().expect("a balance"), number.parse().expect("a number")))
    }

    /// Writes what takes the place of what was taken.
    fn put(&mut self, text: &str) -> repliq::Result<()> {
        self.session.put(self.page, &Message::new(text.as_bytes()))
    }

    /// Turns the page, durably.
    fn write(&mut self, text: &str) -> repliq::Result<()> {
        self.put(text)?;
        self.session.commit()?;
        self.take("").map(|_| ())
    }

    /// Ends a transaction that may be prepared.
    fn finish(&self, id: &TransactionId, commit: bool) -> repliq::Result<()> {
        match self.store.finish(id, commit) {
            // It never was, or the end of it was a day ago.
            Err(error) if error.code() == Code::NoSuchName => Ok(()),
            ended => ended.map(|_| ()),
        }
    }
}

fn main() -> repliq::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or("banks".into());
    let transfers: u32 = arguments.next().map_or(10, |text| text.parse().expect("a number"));
    let by_steps = arguments.next().is_some();
    let step = |number: u32, what: &str| {
        println!("{number} {what}");
        if by_steps {
            let _ = std::io::stdin().lock().read_line(&mut String::new());
        }
    };
    let mut east = Book::open(&format!("{name}.east"))?;
    let mut west = Book::open(&format!("{name}.west"))?;
    let mut notes = Book::open(&format!("{name}.notes"))?;

    // ANCHOR: recover
    // What the last run left: both transfers end as the note says.
    let note = notes.take("nothing")?;
    let words: Vec<&str> = note.split(' ').collect();
    if let [what, of_east, of_west] = words[..] {
        east.finish(&of_east.parse()?, what == "commit")?;
        west.finish(&of_west.parse()?, what == "commit")?;
    }
    // ANCHOR_END: recover

    loop {
        let (has, done) = east.balance()?;
        let (gets, _) = west.balance()?;
        if done >= transfers {
            println!("east {has}, west {gets}, together {}", has + gets);
            break;
        }
        let number = done + 1;
        step(number, "taken");

        // ANCHOR: transfer
        let amount = i64::from(number * 7 % 100) * if number % 2 == 0 { -1 } else { 1 };
        east.put(&format!("{} {number}", has - amount))?;
        west.put(&format!("{} {number}", gets + amount))?;
        let (of_east, of_west) = (east.session.id()?, west.session.id()?);

        // From here on somebody knows what may have to be rolled back.
        notes.write(&format!("rollback {of_east} {of_west}"))?;
        step(number, "noted");
        let xid = format!("transfer {number}");
        east.session.prepare(xid.as_bytes())?;
        step(number, "prepared in the east");
        west.session.prepare(xid.as_bytes())?;
        step(number, "prepared in the west");

        // Both can be committed, whatever happens. This one commit decides.
        notes.write(&format!("commit {of_east} {of_west}"))?;
        step(number, "decided");
        east.store.finish(&of_east, true)?;
        step(number, "committed in the east");
        west.store.finish(&of_west, true)?;
        step(number, "committed");
        // ANCHOR_END: transfer
    }
    // What was taken last goes back.
    for book in [&mut east, &mut west, &mut notes] {
        book.session.rollback()?;
        book.store.close()?;
    }
    Ok(())
}
