//! The plain types of the header. Layouts are part of the ABI.

use std::ffi::{c_char, c_void};

/// A code of the table above: 0 is success.
pub type repliq_code = i32;

/// A queue of a store: a plain number, never closed, valid as long as the store has the queue.
pub type repliq_queue = u32;

/// The answer yes to an option that has a default of its own.
pub const REPLIQ_YES: i32 = 1;
/// The answer no to an option that has a default of its own.
pub const REPLIQ_NO: i32 = 2;

/// A commit with this level survives the end of the process (kill -9), but not a power cut.
pub const REPLIQ_LEVEL_PROCESS: i32 = 1;
/// A commit with this level survives a power cut.
pub const REPLIQ_LEVEL_POWER: i32 = 2;

/// What became of a transaction: it is committed, durably.
pub const REPLIQ_OUTCOME_COMMITTED: i32 = 1;
/// What became of a transaction: it is not committed, and never will be.
pub const REPLIQ_OUTCOME_ROLLED_BACK: i32 = 2;
/// What became of a transaction: it is not known yet; its commit waits for other members of the group.
pub const REPLIQ_OUTCOME_PENDING: i32 = 3;
/// What became of a transaction: nobody knows any more. Later ones of its session were committed, or the session was
/// forgotten.
pub const REPLIQ_OUTCOME_EXPIRED: i32 = 4;

/// A new consumer begins with the oldest message there is.
pub const REPLIQ_FROM_OLDEST: i32 = 0;
/// A new consumer begins with the first message put after it was created.
pub const REPLIQ_FROM_NOW: i32 = 1;
/// A new consumer begins with the message of the sequence given.
pub const REPLIQ_FROM_SEQUENCE: i32 = 2;

/// A listener's handler gets one message a call.
pub const REPLIQ_UNIT_MESSAGE: i32 = 0;
/// A listener's handler gets the messages of one transaction a call.
pub const REPLIQ_UNIT_JOB: i32 = 1;

/// What a listener does with messages that fail: try them until they are handled; those behind them wait.
pub const REPLIQ_POLICY_BLOCK: i32 = 0;
/// What a listener does with messages that fail: set their keys aside until it is opened anew.
pub const REPLIQ_POLICY_PARK: i32 = 1;
/// What a listener does with messages that fail: move them to another queue after so many failures.
pub const REPLIQ_POLICY_DEAD_LETTER: i32 = 2;

/// A handler's answer: handled, commit.
pub const REPLIQ_HANDLED: i32 = 0;
/// A handler's answer: roll back and call again later.
pub const REPLIQ_RETRY: i32 = 1;
/// A handler's answer: roll back and set the keys of the messages aside, whatever the policy.
pub const REPLIQ_PARK: i32 = 2;

/// Behind a dead letter the rest of its key goes on.
pub const REPLIQ_AFTER_SKIP: i32 = 0;
/// Behind a dead letter the rest of its key waits until the letter is put back, or dropped.
pub const REPLIQ_AFTER_BLOCK: i32 = 1;
/// Behind a dead letter the rest of its key becomes dead letters, too, until these are put back, or dropped.
pub const REPLIQ_AFTER_PARK: i32 = 2;

/// A log line of something that failed.
pub const REPLIQ_LOG_ERROR: i32 = 1;
/// A log line of something that is not as it should be, while the library goes on.
pub const REPLIQ_LOG_WARN: i32 = 2;
/// A log line for operators.
pub const REPLIQ_LOG_INFO: i32 = 3;
/// A log line for developers.
pub const REPLIQ_LOG_DEBUG: i32 = 4;
/// A log line of everything there is.
pub const REPLIQ_LOG_TRACE: i32 = 5;

/// Number of bytes of a token.
pub const REPLIQ_TOKEN_SIZE: usize = 40;
/// Number of bytes of a token's text, with the NUL at its end.
pub const REPLIQ_TOKEN_TEXT_SIZE: usize = 55;
/// Number of bytes of a transaction's identity.
pub const REPLIQ_TRANSACTION_ID_SIZE: usize = 28;
/// Number of bytes that the text of a transaction's identity has at most, with the NUL at its end.
pub const REPLIQ_TRANSACTION_ID_TEXT_SIZE: usize = 65;
/// Number of bytes of an error's text, with the NUL at its end.
pub const REPLIQ_ERROR_TEXT_SIZE: usize = 512;
/// The message_index of an error that is about no message.
pub const REPLIQ_NO_INDEX: u32 = u32::MAX;

/// A length of bytes somewhere. `data` may be NULL when `len` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct repliq_bytes {
    /// The first byte.
    pub data: *const c_void,
    /// How many there are.
    pub len: usize,
}

/// A header of a message.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct repliq_header {
    /// UTF-8, not empty.
    pub name: repliq_bytes,
    /// Any bytes.
    pub value: repliq_bytes,
}

/// A message. A program that puts fills in what it wants, the rest is zero: `repliq_message m = REPLIQ_MESSAGE;`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct repliq_message {
    /// What it says.
    pub payload: repliq_bytes,
    /// What it is about; readers select and order by it. May be empty.
    pub key: repliq_bytes,
    /// Its headers; NULL when there are none.
    pub headers: *const repliq_header,
    /// How many headers there are.
    pub header_count: usize,
    /// The name of a producer that numbers its messages, UTF-8; empty for none.
    pub producer: repliq_bytes,
    /// The producer's number, exactly one above its last one. A repeated number is stored once.
    pub producer_sequence: u64,
    /// When it stops being worth delivering, in milliseconds since 1970; 0 for never.
    pub expires_ms: u64,
    /// Not to be received earlier, in milliseconds since 1970; 0 for at once.
    pub deliver_at_ms: u64,
    /// A number for the program's own use, such as a request id; 0 for none.
    pub kind: u16,
    /// 0 to 9: of what waits, the highest is received first.
    pub priority: u8,
    /// Must be 0.
    pub reserved: [u8; 5],
    /// Read only: its place in its queue, gap-free from 1. Ignored by put, as is what follows.
    pub sequence: u64,
    /// Read only: when its transaction was committed, in milliseconds since 1970.
    pub committed_ms: u64,
    /// Read only: its queue.
    pub queue: repliq_queue,
    /// Read only: how often it was handed to this consumer, this time counted.
    pub deliveries: u32,
}

/// The proof of a commit, to be asked for at any store of the same group. Compare with memcmp.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct repliq_token {
    /// The same on every machine.
    pub bytes: [u8; REPLIQ_TOKEN_SIZE],
}

/// What a commit answers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct repliq_result {
    /// Where the transaction is in the order of commits.
    pub token: repliq_token,
    /// What it survives: REPLIQ_LEVEL_PROCESS or REPLIQ_LEVEL_POWER.
    pub level: i32,
}

/// The identity of a session's transaction, known before its commit and after. Compare with memcmp.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct repliq_transaction_id {
    /// The same on every machine: the session (16), its epoch (4) and the transaction's number (8), big-endian.
    pub bytes: [u8; REPLIQ_TRANSACTION_ID_SIZE],
}

/// What became of a transaction.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct repliq_outcome {
    /// REPLIQ_OUTCOME_*.
    pub state: i32,
    /// Where it is in the order of commits, of REPLIQ_OUTCOME_COMMITTED; zeros otherwise.
    pub token: repliq_token,
}

/// What a backup or a restore did.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct repliq_backup {
    /// Sequence of the last transaction in it.
    pub sequence: u64,
    /// Files it consists of.
    pub files: u64,
    /// Files that were copied; the others were there already.
    pub files_copied: u64,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Bytes that were copied.
    pub bytes_copied: u64,
    /// Epoch of the last transaction in it.
    pub epoch: u32,
    /// 0.
    pub reserved: u32,
}

/// What became of dead letters.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct repliq_redriven {
    /// Put back, or dropped.
    pub done: u64,
    /// Those that stay letters.
    pub refused: u64,
    /// The sequence of the first of these, or 0.
    pub sequence: u64,
    /// Why it stays. UTF-8 with a NUL at its end.
    pub reason: [c_char; REPLIQ_ERROR_TEXT_SIZE],
}

/// What went wrong: `repliq_error e = REPLIQ_ERROR; repliq_error_last(&e);`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct repliq_error {
    /// sizeof(repliq_error), as REPLIQ_ERROR sets it.
    pub size: usize,
    /// The number to branch on.
    pub code: repliq_code,
    /// The code of the error behind this one, or 0.
    pub cause_code: repliq_code,
    /// The number of the operating system, or 0.
    pub os_errno: i32,
    /// REPLIQ_FLAG_*, or'ed.
    pub flags: u32,
    /// The message of a batch that was refused, counted from 0, or REPLIQ_NO_INDEX.
    pub message_index: u32,
    /// The first sequence or offset it is about, or 0.
    pub sequence_from: u64,
    /// The last one.
    pub sequence_to: u64,
    /// For people: what was done, to what, and why it failed. UTF-8 with a NUL at its end.
    pub text: [c_char; REPLIQ_ERROR_TEXT_SIZE],
}

/// What happened to an operation started with a port.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct repliq_event {
    /// As it was given when the operation was started.
    pub tag: u64,
    /// How the operation ended.
    pub code: repliq_code,
    /// The code of the error behind it, or 0.
    pub cause_code: repliq_code,
    /// The error's text; empty on success. Lives until the next drain or close of the port.
    pub text: repliq_bytes,
    /// On success, what the commit answered.
    pub result: repliq_result,
}

/// How to open a store: `repliq_store_options o = REPLIQ_STORE_OPTIONS;`. Zero is the default everywhere.
#[repr(C)]
pub struct repliq_store_options {
    /// sizeof(repliq_store_options), as the macro sets it.
    pub size: usize,
    /// Must be 0.
    pub flags: u32,
    /// What commits survive that name no level; REPLIQ_LEVEL_POWER by default.
    pub level: i32,
    /// Encrypts the store at rest; empty for a store in clear text. Copied, and wiped at close.
    pub password: repliq_bytes,
    /// Whether a store is created where there is none; REPLIQ_YES by default.
    pub create: i32,
    /// Whether the store is opened for looking only; REPLIQ_NO by default.
    pub read_only: i32,
    /// Whether a thread works ahead (prepared segments, reclaim); REPLIQ_YES by default.
    pub helper: i32,
    /// What that survives which others have seen (consumers, targets, who sent it here); REPLIQ_LEVEL_POWER by default.
    /// With REPLIQ_LEVEL_PROCESS they see it without a sync, and a power cut may take back what was seen; the store then
    /// goes on in a new epoch, and a token of what is lost answers REPLIQ_NOT_FOUND.
    pub horizon: i32,
    /// Bytes of the first segment, a power of two of at least 4096; 65536 by default.
    pub segment_bytes: u64,
    /// Bytes of the largest segment; 67108864 by default.
    pub segment_bytes_max: u64,
    /// How long what every reader has is kept for receivers that went back; 86400000 by default.
    pub keep_ms: u64,
    /// How many bytes of it at most; 1073741824 by default.
    pub keep_bytes: u64,
    /// Bytes of all segment files together, at least 16 times `segment_bytes`; no bound by default. At the bound puts
    /// answer REPLIQ_NO_SPACE, with REPLIQ_QUOTA as its cause, until something was acknowledged, purged or deleted.
    pub quota_bytes: u64,
    /// A store opened by URL, as what follows: as whom to log in where the URL does not say, or NULL.
    pub user: *const c_char,
    /// PEM file of the authorities to trust instead of the system's, or NULL.
    pub ca_file: *const c_char,
    /// The name the server's certificate must hold where it is not the host of the URL, or NULL.
    pub server_name: *const c_char,
    /// Plain TCP instead of TLS; REPLIQ_NO by default. The server must allow it, too.
    pub plain: i32,
    /// Whether to try again after a lost connection; REPLIQ_YES by default.
    pub reconnect: i32,
    /// Milliseconds after which a silent connection shows that it lives, 50 to 20000; 5000 by default.
    pub heartbeat_ms: u64,
    /// Milliseconds for everything from the name of the host to the end of the login, and for a call to the server
    /// beside what it waits for there; 10000 by default.
    pub connect_timeout_ms: u64,
    /// The longest time between two tries, in milliseconds; 30000 by default.
    pub reconnect_ms_max: u64,
}

/// How to put: `repliq_put_options o = REPLIQ_PUT_OPTIONS;`.
#[repr(C)]
pub struct repliq_put_options {
    /// sizeof(repliq_put_options), as the macro sets it.
    pub size: usize,
    /// Must be 0.
    pub flags: u32,
    /// What the commit must survive; the store's level by default.
    pub level: i32,
}

/// How to open a session: `repliq_session_options o = REPLIQ_SESSION_OPTIONS;`.
#[repr(C)]
pub struct repliq_session_options {
    /// sizeof(repliq_session_options), as the macro sets it.
    pub size: usize,
    /// Must be 0.
    pub flags: u32,
    /// What its commits must survive; the store's level by default.
    pub level: i32,
    /// Its name, of which one is open at a time; NULL or empty for none.
    pub name: *const c_char,
    /// Whether to take the session of this name over, REPLIQ_NO by default: whoever has it open is REPLIQ_FENCED from
    /// then on.
    pub takeover: i32,
    /// Milliseconds a transaction may be open without a call before it is rolled back; the next call then answers
    /// REPLIQ_ROLLED_BACK, caused by REPLIQ_TIMEOUT. 0 for no bound, at a server for the server's own, 60000.
    pub idle_ms: u32,
    /// Bytes a transaction may put, 64 more for each message; the put beyond it is refused with REPLIQ_QUOTA, and the
    /// transaction can only be rolled back; 0 for no bound.
    pub bytes_max: u64,
}

/// How to open a consumer: `repliq_consumer_options o = REPLIQ_CONSUMER_OPTIONS;`.
#[repr(C)]
pub struct repliq_consumer_options {
    /// sizeof(repliq_consumer_options), as the macro sets it.
    pub size: usize,
    /// Must be 0.
    pub flags: u32,
    /// Where a consumer begins that is created by this call: REPLIQ_FROM_*.
    pub from: i32,
    /// The sequence for REPLIQ_FROM_SEQUENCE, otherwise 0.
    pub from_sequence: u64,
    /// What acknowledgements survive; REPLIQ_LEVEL_POWER by default. With REPLIQ_LEVEL_PROCESS they ride with
    /// the next sync, and a power cut delivers again.
    pub ack_level: i32,
    /// Whether consumers of this name may be open several times, each message going to one: REPLIQ_YES or REPLIQ_NO,
    /// which is the default. All open it with the same options.
    pub shared: i32,
    /// Whether messages of one key are handed out one after the other: REPLIQ_YES or REPLIQ_NO, which is the default. A
    /// key is busy until what was handed out of it is acknowledged or given back.
    pub keyed: i32,
    /// With shared: messages that may be out at a time over all of them; 0 for no bound.
    pub parallel: u32,
    /// With keyed: messages of one key that one receive may hand out together; 0 for 1.
    pub per_key: u32,
    /// What retry_delay_ms is multiplied by with each further time; 0 or 1 for nothing.
    pub retry_multiplier: u32,
    /// How often a message is handed out at most: one that comes back from the last time moves to dead_letters. 0 for any
    /// number of times.
    pub max_deliveries: u32,
    /// The queue it moves to, with headers that say why, how often, when and from where; 0 without max_deliveries.
    pub dead_letters: repliq_queue,
    /// With shared or keyed: milliseconds after which another may be handed what this one has; 0 for never.
    pub lease_ms: u64,
    /// Milliseconds before a message that was given back, or rolled back, comes again; 0 for at once.
    pub retry_delay_ms: u64,
    /// Milliseconds it grows to at most; 0 for no bound.
    pub retry_delay_ms_max: u64,
    /// With keyed and max_deliveries: what the rest of a key does behind a dead letter: REPLIQ_AFTER_*.
    pub after_dead_letter: i32,
    /// With keyed, and without per_key: whether of the messages of one key that wait the newest is handed out alone, and
    /// those before it never: REPLIQ_YES or REPLIQ_NO, which is the default.
    pub conflate: i32,
    /// With keyed, and without per_key: whether a message whose header "repliq-version", a number, is not above the last
    /// one of its key that was acknowledged is acknowledged and not handed out: REPLIQ_YES or REPLIQ_NO, which is the
    /// default.
    pub key_versions: i32,
    /// Must be 0.
    pub reserved: i32,
}

/// How to listen: `repliq_listener_options o = REPLIQ_LISTENER_OPTIONS;`.
#[repr(C)]
pub struct repliq_listener_options {
    /// sizeof(repliq_listener_options), as the macro sets it.
    pub size: usize,
    /// Must be 0.
    pub flags: u32,
    /// What the handler gets: REPLIQ_UNIT_*.
    pub unit: i32,
    /// What happens to a message that cannot be handled: REPLIQ_POLICY_*.
    pub policy: i32,
    /// REPLIQ_POLICY_DEAD_LETTER: after how many failures, at least 1; otherwise 0.
    pub dead_letter_after: u32,
    /// REPLIQ_POLICY_DEAD_LETTER: the name of the queue it is moved to; otherwise NULL.
    pub dead_letter_queue: *const c_char,
    /// The first pause before a message is tried again, in milliseconds, doubled each time; 100 by default.
    pub retry_ms: u64,
    /// The longest pause, in milliseconds; 10000 by default.
    pub retry_ms_max: u64,
    /// Threads that call the handler, at most 1,024; 0 for 1. With several of them it is called by several at once, and
    /// there is no order but that of a keyed consumer.
    pub threads: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// How to replicate: `repliq_replication_options o = REPLIQ_REPLICATION_OPTIONS;`.
#[repr(C)]
pub struct repliq_replication_options {
    /// sizeof(repliq_replication_options), as the macro sets it.
    pub size: usize,
    /// Must be 0.
    pub flags: u32,
    /// What commits must survive; the store's level by default.
    pub level: i32,
}

/// How to reach a target, and what it gets: `repliq_target_options o = REPLIQ_TARGET_OPTIONS;`.
#[repr(C)]
pub struct repliq_target_options {
    /// sizeof(repliq_target_options), as the macro sets it.
    pub size: usize,
    /// Must be 0.
    pub flags: u32,
    /// Plain TCP instead of TLS; REPLIQ_NO by default. The server must allow it, too.
    pub plain: i32,
    /// The queue at the target; NULL for the one the URL names, or else the root's name.
    pub queue: *const c_char,
    /// As whom to log in where the URL does not say, or NULL.
    pub user: *const c_char,
    /// The password of that user; empty for none. Copied; it never leaves the process.
    pub password: repliq_bytes,
    /// PEM file of the authorities to trust instead of the system's, or NULL.
    pub ca_file: *const c_char,
    /// The name the server's certificate must hold where it is not the host of the URL, or NULL.
    pub server_name: *const c_char,
    /// Only messages of one of these kinds; NULL for all.
    pub kinds: *const u16,
    /// How many of them there are.
    pub kind_count: usize,
    /// Only messages whose key begins so; empty for all.
    pub key_prefix: repliq_bytes,
    /// Only messages that have a header of this name; NULL for all.
    pub header_name: *const c_char,
    /// And this value; NULL for any.
    pub header_value: *const c_char,
    /// Where a target begins that is new: REPLIQ_FROM_OLDEST or REPLIQ_FROM_NOW.
    pub from: i32,
    /// Whether to try again after a failure or a lost connection; REPLIQ_YES by default.
    pub reconnect: i32,
    /// Milliseconds after which a silent connection shows that it lives, 50 to 20000; 5000 by default.
    pub heartbeat_ms: u64,
    /// Milliseconds for everything from the name of the host to the end of the login; 10000 by default.
    pub connect_timeout_ms: u64,
    /// The longest time between two tries, in milliseconds; 30000 by default.
    pub reconnect_ms_max: u64,
}

/// How a target is: `repliq_target_status s = REPLIQ_TARGET_STATUS; repliq_replication_target(r, name, &s);`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct repliq_target_status {
    /// sizeof(repliq_target_status), as the macro sets it.
    pub size: usize,
    /// Whether its link is connected and logged in: REPLIQ_YES or REPLIQ_NO.
    pub connected: i32,
    /// Whether its link waits for an operator, who reads why in `last_error`: REPLIQ_YES or REPLIQ_NO.
    pub stopped: i32,
    /// The last transaction of this store up to which everything for it is there, durably: its sequence, or 0.
    pub position_sequence: u64,
    /// And its epoch, or 0.
    pub position_epoch: u32,
    /// 0.
    pub reserved: u32,
    /// Messages of the root it has not confirmed.
    pub lag_messages: u64,
    /// Bytes of them.
    pub lag_bytes: u64,
    /// Age of the oldest of them in milliseconds.
    pub lag_ms: u64,
    /// For people: what went wrong last, or "". UTF-8 with a NUL at its end.
    pub last_error: [c_char; REPLIQ_ERROR_TEXT_SIZE],
}

/// A user of a server, and what it may do: `verbs` on the `queues`.
#[repr(C)]
pub struct repliq_user {
    /// UTF-8, not empty.
    pub name: *const c_char,
    /// Its password; only a verifier of it is kept.
    pub password: repliq_bytes,
    /// Of replicate, publish, browse, consume, admin, with commas between.
    pub verbs: *const c_char,
    /// Names of queues, or patterns with `*`, with commas between.
    pub queues: *const c_char,
}

/// How to serve: `repliq_server_options o = REPLIQ_SERVER_OPTIONS;`.
#[repr(C)]
pub struct repliq_server_options {
    /// sizeof(repliq_server_options), as the macro sets it.
    pub size: usize,
    /// Must be 0.
    pub flags: u32,
    /// Whether plain TCP is allowed; REPLIQ_NO by default. Without it and without a certificate nobody gets in.
    pub plain: i32,
    /// Where to listen: "host:port", "[address]:port", port 0 for any that is free, "unix:/path"; NULL for
    /// "127.0.0.1:20901".
    pub listen: *const *const c_char,
    /// How many of them there are.
    pub listen_count: usize,
    /// PEM file of the certificate chain for TLS, or NULL.
    pub certificate_file: *const c_char,
    /// PEM file of its key, or NULL.
    pub key_file: *const c_char,
    /// The users, as the command line writes them to a file; NULL where they come next.
    pub users_file: *const c_char,
    /// The users themselves, or NULL.
    pub users: *const repliq_user,
    /// How many of them there are.
    pub user_count: usize,
    /// Milliseconds after which a silent connection shows that it lives, 50 to 20000; 5000 by default.
    pub heartbeat_ms: u64,
    /// Milliseconds from the first byte of a connection to the end of its login; 5000 by default.
    pub login_ms: u64,
    /// The longest wait after failed logins, in milliseconds; 30000 by default.
    pub failure_wait_ms_max: u64,
    /// Connections at one time; 1024 by default.
    pub connections_max: u32,
    /// Of these, connections that have not logged in; 64 by default.
    pub strangers_max: u32,
    /// Failed logins of one user from one address before the next ones have to wait; 5 by default.
    pub failures_max: u32,
    /// How many percent of the next three, of the sessions a store remembers and of its prepared transactions one user
    /// has at most, 1 to 100; 50 by default.
    pub user_share: u32,
    /// Sessions that are open at one time, over all connections; 16384 by default.
    pub sessions_max: u32,
    /// Of these, sessions whose transaction has put or received something; 4096 by default.
    pub transactions_max: u32,
    /// Bytes that open transactions have staged, with 64 for each message; 4294967296 by default.
    pub staged_bytes_max: u64,
}

/// Called by a listener on a thread of its own, with messages that live until it returns, and a session: what
/// the handler puts there is committed together with the acknowledgement. Answers REPLIQ_HANDLED, REPLIQ_RETRY
/// or REPLIQ_PARK. It must not throw, commit, roll back, or close the listener or the session.
pub type repliq_handler = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        session: *mut repliq_session,
        messages: *const repliq_message,
        n: usize,
    ) -> i32,
>;

/// Called for each log line, from any thread, with texts that live until it returns. It must not throw.
pub type repliq_log_function = Option<
    unsafe extern "C" fn(user: *mut c_void, level: i32, target: *const c_char, text: *const c_char),
>;

/// An open store.
pub struct repliq_store(());
/// A transaction over any queues of one store; one thread at a time.
pub struct repliq_session(());
/// A named, durable reader of a queue.
pub struct repliq_consumer(());
/// A consumer with a handler.
pub struct repliq_listener(());
/// A look at the queues of a store without taking anything.
pub struct repliq_snapshot(());
/// A queue of finished operations.
pub struct repliq_port(());
/// A store that others can reach.
pub struct repliq_server(());
/// A root queue with its targets.
pub struct repliq_replication(());
