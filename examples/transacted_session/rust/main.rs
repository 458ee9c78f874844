//! The session tutorial: money moves between two ledgers, and none is lost or made, wherever the program is stopped.
//!
//! Usage: transacted_session [DIRECTORY [TRANSFERS [step]]]
//!
//! A ledger is a queue that holds one message: its balance, and the number of the transfer that led to it. A
//! transfer takes both balances and puts both new ones and a line for the records, in one transaction. With `step` the
//! program waits for Enter after each step: kill it at any, and run it again.

use std::io::BufRead;
use std::time::Duration;

use repliq::{Consumer, ConsumerOptions, Message, Session, Store, StoreOptions};

/// The balance that is next in a ledger, and its number; nothing before the accounts were opened.
fn take(session: &mut Session, ledger: &Consumer) -> repliq::Result<Option<(i64, u32)>> {
    let taken = session.receive(ledger, 1, Duration::ZERO)?;
    Ok(taken.first().map(|message| {
        let text = String::from_utf8_lossy(message.payload());
        let (balance, number) = text.split_once(' ').expect("a balance and a number");
        (balance.parse().expect("a balance"), number.parse().expect("a number"))
    }))
}

fn main() -> repliq::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or("bank".into());
    let transfers: u32 = arguments.next().map_or(10, |text| text.parse().expect("a number"));
    let by_steps = arguments.next().is_some();
    let step = |number: u32, what: &str| {
        println!("{number} {what}");
        if by_steps {
            let _ = std::io::stdin().lock().read_line(&mut String::new());
        }
    };

    let store = Store::open(directory, &StoreOptions::default())?;
    let (alice, bob) = (store.queue("ledger/alice")?, store.queue("ledger/bob")?);
    let records = store.queue("transfers")?;
    let of_alice = store.consumer("teller", alice, &ConsumerOptions::default())?;
    let of_bob = store.consumer("teller", bob, &ConsumerOptions::default())?;

    // ANCHOR: transfer
    let mut session = store.session()?;
    loop {
        let both = (take(&mut session, &of_alice)?, take(&mut session, &of_bob)?);
        let (Some((has, done)), Some((gets, _))) = both else {
            // The first run: both accounts are opened, or none.
            session.put(alice, &Message::new(b"1000 0"))?;
            session.put(bob, &Message::new(b"1000 0"))?;
            session.commit()?;
            continue;
        };
        if done >= transfers {
            println!("alice {has}, bob {gets}, together {}", has + gets);
            break;
        }
        let number = done + 1;
        step(number, "taken");

        let amount = i64::from(number * 7 % 100) * if number % 2 == 0 { -1 } else { 1 };
        let (has, gets) = (has - amount, gets + amount);
        session.put(alice, &Message::new(format!("{has} {number}").as_bytes()))?;
        session.put(bob, &Message::new(format!("{gets} {number}").as_bytes()))?;
        session.put(records, &Message::new(format!("{number} {amount}").as_bytes()))?;
        step(number, "put");

        // Both old balances are gone and all three messages are there, or nothing has happened.
        session.commit()?;
        step(number, "committed");
    }
    // The balances that were taken last go back.
    session.rollback()?;
    // ANCHOR_END: transfer
    store.close()
}
