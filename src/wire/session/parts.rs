//! What requests and answers of sessions are made of.

/// Which session is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// A new one without a name.
    New,
    /// The one of this name, and whether to take it over from whoever has it.
    Named(&'a str, bool),
    /// The one that had this id and epoch before the connection was lost.
    Resumed([u8; 16], u32),
}

/// Where a new consumer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest message that is still there.
    Oldest,
    /// With the first message put after it was made.
    Now,
    /// With this sequence.
    At(u64),
}

/// What a roll back undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// Everything.
    All,
    /// What was put; what was received stays part of the transaction.
    Puts,
    /// Everything, but what was received is kept back until its consumer is opened anew.
    Keep,
}

/// A received message in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given<'a> {
    /// Number of its queue.
    pub queue: u32,
    /// Its place in its transaction.
    pub index: u32,
    /// How often it was given out.
    pub deliveries: u32,
    /// Its place in its queue.
    pub sequence: u64,
    /// The transaction that brought it.
    pub transaction: u64,
    /// When that was.
    pub committed_ms: u64,
    /// Its body.
    pub body: &'a [u8],
}
