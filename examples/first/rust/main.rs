//! The first program: two orders, a clerk who writes invoices, and the proof that she is through.
//!
//! Usage: first [DIRECTORY]

// ANCHOR: program
use std::time::Duration;

use repliq::{ConsumerOptions, Message, Store, StoreOptions};

fn main() -> repliq::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or("shop".into());
    let store = Store::open(directory, &StoreOptions::default())?;
    let orders = store.queue("orders")?;
    let invoices = store.queue("invoices")?;

    // Both orders or neither. When commit returns, they survive a power cut.
    let mut session = store.session()?;
    session.put(orders, &Message::new(b"one pound of tea"))?;
    session.put(orders, &Message::new(b"two pounds of sugar"))?;
    let ordered = session.commit()?;

    // The clerk takes the orders and writes invoices in one transaction: each order is invoiced once.
    let clerk = store.consumer("clerk", orders, &ConsumerOptions::default())?;
    for order in session.receive(&clerk, 64, Duration::from_secs(1))? {
        let text = String::from_utf8_lossy(order.payload());
        println!("{} {text}", order.sequence());
        session.put(invoices, &Message::new(format!("invoice: {text}").as_bytes()))?;
    }
    session.commit()?;

    // A token says where a transaction is: this one has been handled by the clerk.
    store.wait("consumer:clerk", &[ordered.token], Duration::from_secs(10))?;
    println!("the clerk has taken everything");
    store.close()
}
// ANCHOR_END: program
