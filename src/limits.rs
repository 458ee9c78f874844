//! Every bound of the library, with its reason, and the relations between them, checked at compile time.
//!
//! A bound is checked twice: before bytes are written and after they are read.

/// Largest body of a message: key, headers and payload with their lengths, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Longest name of a queue or consumer, in bytes of UTF-8; it travels with a one-byte length.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest key of a message, in bytes; it is stored with a two-byte length.
pub const KEY_BYTES_MAX: usize = u16::MAX as usize;
/// Largest sum of the encoded headers of a message, in bytes.
pub const HEADERS_BYTES_MAX: usize = u16::MAX as usize;
/// Longest producer id, in bytes of UTF-8.
pub const PRODUCER_BYTES_MAX: usize = 255;
/// Longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 4 << 10;
/// Smallest segment: exhaustive tests need journals of a few sectors.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// The first segment of a store, unless asked otherwise: a store of three messages costs no more.
pub const SEGMENT_BYTES_FIRST: u64 = 64 << 10;
/// The largest class a segment grows to by itself.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Segments of the first class that fit into the smallest quota, and of the largest into any: what is given back at
/// a time is a small part of it.
pub const QUOTA_SEGMENTS: u64 = 16;
/// Messages that are moved out of one segment, at most.
pub const MOVED_FROM_SEGMENT: usize = 1_024;
/// The part of a segment that may be moved is one in so many of its bytes.
pub const MOVED_PART: u64 = 8;
/// The same where room is needed now.
pub const MOVED_PART_NEEDED: u64 = 2;
/// Moved messages of a store, at most: each costs 64 bytes of memory and 88 of a state run.
pub const MOVED_MAX: usize = 65_536;
/// Stretches of messages in sealed segments that are remembered, of 24 bytes each: six MiB.
pub const STRETCHES_MAX: usize = 1 << 18;
/// Indexes of sealed segments that one reclaim reads where it need not find everything: some 40 MiB at most, where the
/// segments are of the largest class and full of small messages.
pub const INDEXES_READ_MAX: usize = 16;
/// Memory of the filter of one file of rows, at most: enough for three million keys.
pub const FILTER_BYTES_MAX: usize = 4 << 20;
/// Entries of the index of one file of rows, at most, each of the bytes of a key and 48: beyond it what is read to find
/// a row grows.
pub const INDEX_ENTRIES_MAX: usize = 32_768;
/// State runs that are looked through before they are merged; without a helper as many again while that is done piece by
/// piece.
pub const RUNS_MAX: usize = 8;
/// Bytes of state runs that are not worth a merge.
pub const RUN_BYTES_MIN: u64 = 1 << 20;
/// What a record takes beside its body: header, padding and its place in the index, at most.
pub const RECORD_BYTES: usize = 64;
/// A transaction of more bytes, and of more than one message, is staged in files of its own: it costs neither memory
/// nor the time of others, and has no bound but the disk's.
pub const MEMORY_BYTES: usize = 1 << 20;
/// How long data stays for targets that went back, unless asked otherwise, in milliseconds.
pub const KEEP_MS: u64 = 24 * 60 * 60 * 1000;
/// How many bytes of it, unless asked otherwise.
pub const KEEP_BYTES: u64 = 1 << 30;
/// Every sequence, journal offset, file number and count of bytes is below this: whatever is read can be added to.
/// At a billion a second it takes a hundred years to come so far.
pub const NUMBERS_END: u64 = 1 << 62;
/// Queues a store ever has, since numbers are not used twice: a client must not be able to fill the memory with names.
/// One costs about 400 bytes of memory with its name and a consumer.
pub const QUEUES_MAX: usize = 100_000;
/// Sessions a store remembers: a client must not be able to fill the memory with new ones. A row costs some 200 bytes.
pub const SESSIONS_MAX: usize = 65_536;
/// Commits of sessions that are known beside the last one of each, as long as their owners may ask: 72 bytes each.
pub const COMMITS_UNHEARD_MAX: usize = 16_384;
/// How long a session is remembered after its last use, in milliseconds.
pub const SESSION_KEEP_MS: u64 = 24 * 60 * 60 * 1000;
/// Sessions that are forgotten in one transaction at most, so that its bytes stay few.
pub const SESSIONS_FORGOTTEN_MAX: usize = 256;
/// Remembered sessions that are listed at a time: an answer of some 400 bytes each stays small.
pub const SESSIONS_LISTED_MAX: usize = 1_000;
/// Prepared transactions that wait for their coordinator: each holds messages, files and a row of memory.
pub const PREPARED_MAX: usize = 1_024;
/// Bytes of what those acknowledge and of the places of their files, together: they are kept in memory.
pub const PREPARED_BYTES_MAX: usize = 16 << 20;
/// Prepared transactions that ended as planned and are remembered, for 24 hours at most: who lost the answer asks soon.
pub const PREPARED_ENDED_MAX: usize = 16_384;
/// Prepared transactions that were ended by hand and are remembered: their coordinators may come late.
pub const PREPARED_BY_HAND_MAX: usize = 1_024;
/// Longest name a coordinator gives to a prepared transaction, in bytes; it travels with a one-byte length.
pub const XID_BYTES_MAX: usize = 255;
/// Sessions one connection has open at once, and receives that wait: each may hold a transaction.
pub const SESSIONS_OF_CONNECTION_MAX: usize = 256;
/// Snapshots one connection has open at once: each keeps the disk space of what it shows.
pub const SNAPSHOTS_OF_CONNECTION_MAX: usize = 16;
/// How long a snapshot at a server is kept that nobody looks at.
pub const SNAPSHOT_IDLE_MS: u64 = 600_000;
/// Consumers one connection has open at once.
pub const CONSUMERS_OF_CONNECTION_MAX: usize = 1_024;
/// How long a transaction at a server may be open without a request of its session, unless the client says otherwise.
pub const SESSION_IDLE_MS: u64 = 60_000;
/// Acknowledged ranges above a consumer's floor: what an application that never acknowledges its first
/// message may cost in memory, 32 bytes each.
pub const ACK_RANGES_MAX: usize = 1 << 20;
/// Messages of a consumer that were given out and neither acknowledged nor given back, or wait for another try: each
/// costs a row of state.
pub const DELIVERED_MAX: usize = 1 << 20;
/// Messages of a consumer that were read and cannot be given out yet, for their time, their key or their priority: each
/// costs at most 64 bytes of memory, and nothing is read beyond.
pub const WAITING_MAX: usize = 4 << 20;
/// Messages that a consumer that conflates reads beyond those it gives out, to know the newest of each key: of what waits,
/// so many at 64 bytes each, and what they replace, which costs nothing. One receive reads no more than this.
pub const CONFLATE_MESSAGES_MAX: usize = 65_536;
/// The same in bytes of messages that one receive reads, unless a single one is larger.
pub const CONFLATE_BYTES_MAX: usize = 16 << 20;
/// Keys a listener sets aside before it blocks: they are kept in memory.
pub const PARKED_KEYS_MAX: usize = 1_000;
/// Threads of a listener: each has a session.
pub const LISTENER_THREADS_MAX: u32 = 1_024;
/// Dead letters of a consumer with keys that are remembered until they are put back or dropped: a small row of the state each.
pub const LETTERS_MAX: usize = 65_536;
/// Bytes of the keys of those together.
pub const LETTER_KEYS_BYTES_MAX: usize = 16 << 20;
/// What is kept of the reason of a dead letter, in characters.
pub const REASON_CHARS_MAX: usize = 1_024;
/// Messages one receive call hands out at most.
pub const RECEIVE_MESSAGES_MAX: usize = 65_536;
/// Bytes one receive call reads at most, unless a single message is larger.
pub const RECEIVE_BYTES_MAX: usize = 1 << 20;
/// Bytes of the messages of one job, each with [`RECORD_BYTES`]: a transaction may have more, and is received in
/// pieces then.
pub const JOB_BYTES_MAX: usize = SEGMENT_BYTES_MAX as usize;
/// Handles of the C ABI that are open at once; the table of a process that leaks them ends here.
pub const HANDLES_MAX: usize = 65_536;
/// Messages, tokens or sequences one call of the C ABI takes at most: a wild length must not be believed.
pub const ARRAY_MAX: usize = 1 << 20;
/// Longest path, URL or text of the C ABI, in bytes: a text without its end must not be followed for ever.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// Room for a text that a caller of the C ABI may claim to have, in bytes: more is a length gone wrong.
pub const ROOM_BYTES_MAX: usize = 1 << 30;

/// Targets of one store: each costs a row of state, a link and a thread.
pub const STREAMS_MAX: usize = 1_024;
/// Stores a transaction remembers that it came by: rings are recognised up to this size, and a row costs 24 bytes.
pub const PATH_HOPS_MAX: usize = 64;
/// Ranges of transactions a target is known not to get: each is an operator's decision, and the oldest are the
/// least asked for.
pub const MISSING_MAX: usize = 1_024;
/// Streams a store has received from: a user must not be able to fill the memory with new ones.
pub const RECEIVED_MAX: usize = 65_536;
/// Rows of a history: one an epoch, and an epoch is a rare event.
pub const HISTORY_ROWS_MAX: usize = 4_096;
/// Longest URL of a target, in bytes of UTF-8.
pub const URL_BYTES_MAX: usize = 2_048;
/// A data frame of a stream is sent when it holds so many bytes.
pub const STREAM_FRAME_BYTES: usize = 256 << 10;
/// Longest body of a frame of a stream, in bytes: a data frame, and a transaction that was put in last.
pub const STREAM_FRAME_BYTES_MAX: usize = 2 * STREAM_FRAME_BYTES;
/// Bytes a sender may have under way: more than a fast network holds in a round trip and two syncs.
pub const STREAM_CREDIT_BYTES: u64 = 16 << 20;
/// Bytes a receiver takes in ahead of its disk.
pub const STREAM_UNSYNCED_BYTES: u64 = 64 << 20;
/// Records of one received transaction that is not staged.
pub const TRANSACTION_RECORDS_MAX: usize = 2 << 20;
/// Bytes of one received transaction with the heads of its records: more is a length gone wrong. What does not fit
/// into memory is staged as it arrives, so the disk is the bound.
pub const STREAM_TRANSACTION_BYTES_MAX: u64 = 1 << 44;
/// Longest text of a refusal on a stream, in bytes.
pub const STREAM_TEXT_BYTES_MAX: usize = 1_024;

const _: () = assert!(QUEUES_MAX < u32::MAX as usize);
const _: () = assert!(STREAM_FRAME_BYTES < STREAM_FRAME_BYTES_MAX);
const _: () = assert!((STREAM_FRAME_BYTES_MAX as u64) < STREAM_CREDIT_BYTES);
const _: () = assert!((MESSAGE_BYTES_MAX as u64) < STREAM_TRANSACTION_BYTES_MAX);
const _: () = assert!(SEGMENT_BYTES_MIN <= SEGMENT_BYTES_FIRST);
const _: () = assert!(SEGMENT_BYTES_FIRST <= SEGMENT_BYTES_MAX);
const _: () = assert!((MESSAGE_BYTES_MAX as u64) < SEGMENT_BYTES_MAX);
const _: () = assert!((MEMORY_BYTES as u64) < SEGMENT_BYTES_MAX);
const _: () = assert!(NAME_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(PRODUCER_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(XID_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(RECEIVE_MESSAGES_MAX <= ARRAY_MAX);
const _: () = assert!(RECEIVE_BYTES_MAX <= MESSAGE_BYTES_MAX);
const _: () = assert!(CONFLATE_MESSAGES_MAX <= WAITING_MAX);
