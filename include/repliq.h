/*
 * repliq: persistent transactional message queues that replicate, transact and prove where a transaction is.
 *
 * A complete program:
 *
 *     #include <repliq.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         repliq_store *store;
 *         repliq_queue orders;
 *         repliq_message tea = REPLIQ_MESSAGE;
 *         repliq_error error = REPLIQ_ERROR;
 *         tea.payload = repliq_text("one pound of tea");
 *         if (!repliq_store_open("shop", NULL, &store) && !repliq_store_queue(store, "orders", &orders)
 *             && !repliq_store_put(store, orders, &tea, 1, NULL, NULL) && !repliq_store_close(store))
 *             return 0;
 *         repliq_error_last(&error);
 *         fprintf(stderr, "%s: %s\n", repliq_code_name(error.code), error.text);
 *         return 1;
 *     }
 *
 * The grammar, which holds for every function:
 *
 * - Names are repliq_<noun>_<verb>. The receiver comes first, then inputs, then outputs.
 * - A function that can fail returns a repliq_code, 0 on success. Branch on the code; repliq_error_last has the
 *   sentence for people, of the last call of the same thread that failed. Outputs are written on success only.
 * - A handle is a pointer type whose value is a ticket and no address: a stale, foreign or twice closed one is
 *   REPLIQ_BAD_HANDLE, NULL is REPLIQ_INVALID, and neither is ever followed.
 * - Every handle is owned by who opened it and has one function that closes it. Closing NULL is fine. Closing
 *   sends other threads that are inside out with REPLIQ_CLOSED, or waits for them. Close what was opened on a
 *   store in any order.
 * - Pointers that are no handles are read or written during the call only, and never kept. NULL is
 *   REPLIQ_INVALID, except where a function says that it may be NULL. Texts are UTF-8; those without a length
 *   end with a NUL.
 * - What received messages and events point to belongs to the library and lives as long as the function says.
 * - Structs of options, and repliq_error, begin with their size and are set up by the macro of their name in
 *   capitals. Zero is the default of every field. A size, flag or value unknown to the library is
 *   REPLIQ_INVALID, never ignored.
 * - Functions are safe to call from several threads at once, except on one session (REPLIQ_BUSY), and where a
 *   function says that one thread at a time may call it on one handle (REPLIQ_BUSY). A callback may call the
 *   library, but not close what called it (REPLIQ_BUSY).
 * - Times and lengths of time are in milliseconds and sizes in bytes, where a comment says nothing else. A timeout of
 *   0 does not wait.
 * - In a child made by fork, the handles of the parent answer REPLIQ_FORKED.
 * - Any function may answer REPLIQ_PANIC, a bug of the library: the handle is finished, the program is not.
 * - A comment names the codes that belong to its function. Beside these, every function may answer REPLIQ_CLOSED
 *   (what it is called on was closed meanwhile) and REPLIQ_IO (the operating system refuses), and one that opens
 *   something REPLIQ_QUOTA (65,536 handles are open). What changes a store may answer REPLIQ_READ_ONLY, REPLIQ_NO_SPACE
 *   and, once a sync has failed, REPLIQ_POISONED: close the store and open it again. What reads from one may answer
 *   REPLIQ_CORRUPT and REPLIQ_TAMPERED.
 * - On a store that was opened by its URL any function may answer REPLIQ_UNREACHABLE, REPLIQ_TIMEOUT (the server says
 *   nothing), REPLIQ_DENIED (no right), REPLIQ_QUOTA (a bound of the server) and REPLIQ_UNSUPPORTED (only who has the
 *   directory can do that).
 *
 * Generated from src/capi; do not edit.
 */

#ifndef REPLIQ_H
#define REPLIQ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The version of this header; repliq_version() is the library's. */
#define REPLIQ_HEADER_VERSION "0.1.0"
#define REPLIQ_HEADER_VERSION_MAJOR 0
#define REPLIQ_HEADER_VERSION_MINOR 1
#define REPLIQ_HEADER_VERSION_PATCH 0
/** The ABI of this header, to be compared with repliq_abi_version(). */
#define REPLIQ_ABI_VERSION 0

/** What a function answers. Numbers are never reused and never renumbered. */
enum {
    /** Success. */
    REPLIQ_OK = 0,
    /** An argument was NULL, out of range or not UTF-8. The call changed nothing. */
    REPLIQ_INVALID = 1,
    /** The handle is stale, foreign or closed twice. */
    REPLIQ_BAD_HANDLE = 2,
    /** Closed here, or by the other side with nothing left. */
    REPLIQ_CLOSED = 3,
    /** A handle of the parent was used in a forked child. */
    REPLIQ_FORKED = 4,
    /** A second thread in a session, re-entry, or close from the handle's own callback. */
    REPLIQ_BUSY = 5,
    /** The feature is not built in, or reserved and not yet written. */
    REPLIQ_UNSUPPORTED = 6,
    /** The name is in use. */
    REPLIQ_EXISTS = 7,
    /** No queue, consumer, target or user of that name. */
    REPLIQ_NO_SUCH_NAME = 8,
    /** A message, a name or a transaction is above its limit; nothing was staged. */
    REPLIQ_TOO_LARGE = 9,
    /** A configured bound is reached. */
    REPLIQ_QUOTA = 10,
    /** The disk is full; consuming still works. */
    REPLIQ_NO_SPACE = 11,
    /** The operating system refused. */
    REPLIQ_IO = 12,
    /** A sync failed: reopen the store. */
    REPLIQ_POISONED = 13,
    /** Stored bytes fail their checksum somewhere other than in the torn tail; the range is attached. */
    REPLIQ_CORRUPT = 14,
    /** The checksum is right and the seal is wrong: somebody changed the bytes on purpose. */
    REPLIQ_TAMPERED = 15,
    /** The password of the store is wrong. */
    REPLIQ_BAD_PASSWORD = 16,
    /** The directory or file is not a store. */
    REPLIQ_NOT_A_STORE = 17,
    /** A newer format, protocol or ABI. */
    REPLIQ_VERSION = 18,
    /** The directory or the address is in use; the owner is named. */
    REPLIQ_LOCKED = 19,
    /** Owner, mode or a read-only mount. */
    REPLIQ_PERMISSION = 20,
    /** The store is damaged or was opened for reading only. */
    REPLIQ_READ_ONLY = 21,
    /** An earlier operation of this transaction failed; roll back. */
    REPLIQ_ROLLBACK_ONLY = 22,
    /** The transaction is gone, the cause is attached; the session is usable. */
    REPLIQ_ROLLED_BACK = 23,
    /** The commit was handed on and no answer came. */
    REPLIQ_OUTCOME_UNKNOWN = 24,
    /** The outcome of an older number is not kept any more. */
    REPLIQ_OUTCOME_EXPIRED = 25,
    /** The lease is gone, the message was handed to another. */
    REPLIQ_STALE = 26,
    /** A newer owner, epoch, link or session took over. */
    REPLIQ_FENCED = 27,
    /** The queue is paused. */
    REPLIQ_PAUSED = 28,
    /** The time given is over. */
    REPLIQ_TIMEOUT = 29,
    /** Interrupted, or closed while waiting. */
    REPLIQ_CANCELLED = 30,
    /** The token of a transaction that wrote nothing. */
    REPLIQ_EMPTY = 31,
    /** The token's transaction is lost; final. */
    REPLIQ_NOT_FOUND = 32,
    /** The token belongs to another group of stores. */
    REPLIQ_WRONG_GROUP = 33,
    /** This member is not the primary. */
    REPLIQ_NOT_PRIMARY = 34,
    /** Refused, reset, no route, or an unknown host name. */
    REPLIQ_UNREACHABLE = 35,
    /** The other side speaks something else. */
    REPLIQ_PROTOCOL = 36,
    /** Login or right refused; it says no more. */
    REPLIQ_DENIED = 37,
    /** The other side's certificate does not hold. */
    REPLIQ_CERTIFICATE = 38,
    /** A database or an engine refused. */
    REPLIQ_TARGET = 39,
    /** A bug of this library. */
    REPLIQ_PANIC = 40,
    /** One target or source has another history; both stamps are attached. */
    REPLIQ_DIVERGED = 41,
    /** The producer sequence is not the next one. */
    REPLIQ_OUT_OF_ORDER = 42
};

/** Flag of a code: the same call may succeed later, as it is. */
#define REPLIQ_FLAG_RETRIABLE 1
/** Flag of a code: the transaction must be rolled back first. */
#define REPLIQ_FLAG_REQUIRES_ROLLBACK 2
/** Flag of a code: the handle is finished; close it. */
#define REPLIQ_FLAG_FATAL 4

/** The answer yes to an option that has a default of its own. */
#define REPLIQ_YES 1

/** The answer no to an option that has a default of its own. */
#define REPLIQ_NO 2

/** A commit with this level survives the end of the process (kill -9), but not a power cut. */
#define REPLIQ_LEVEL_PROCESS 1

/** A commit with this level survives a power cut. */
#define REPLIQ_LEVEL_POWER 2

/** What became of a transaction: it is committed, durably. */
#define REPLIQ_OUTCOME_COMMITTED 1

/** What became of a transaction: it is not committed, and never will be. */
#define REPLIQ_OUTCOME_ROLLED_BACK 2

/** What became of a transaction: it is not known yet; its commit waits for other members of the group. */
#define REPLIQ_OUTCOME_PENDING 3

/**
 * What became of a transaction: nobody knows any more. Later ones of its session were committed, or the session was
 * forgotten.
 */
#define REPLIQ_OUTCOME_EXPIRED 4

/** A new consumer begins with the oldest message there is. */
#define REPLIQ_FROM_OLDEST 0

/** A new consumer begins with the first message put after it was created. */
#define REPLIQ_FROM_NOW 1

/** A new consumer begins with the message of the sequence given. */
#define REPLIQ_FROM_SEQUENCE 2

/** A listener's handler gets one message a call. */
#define REPLIQ_UNIT_MESSAGE 0

/** A listener's handler gets the messages of one transaction a call. */
#define REPLIQ_UNIT_JOB 1

/** What a listener does with messages that fail: try them until they are handled; those behind them wait. */
#define REPLIQ_POLICY_BLOCK 0

/** What a listener does with messages that fail: set their keys aside until it is opened anew. */
#define REPLIQ_POLICY_PARK 1

/** What a listener does with messages that fail: move them to another queue after so many failures. */
#define REPLIQ_POLICY_DEAD_LETTER 2

/** A handler's answer: handled, commit. */
#define REPLIQ_HANDLED 0

/** A handler's answer: roll back and call again later. */
#define REPLIQ_RETRY 1

/** A handler's answer: roll back and set the keys of the messages aside, whatever the policy. */
#define REPLIQ_PARK 2

/** Behind a dead letter the rest of its key goes on. */
#define REPLIQ_AFTER_SKIP 0

/** Behind a dead letter the rest of its key waits until the letter is put back, or dropped. */
#define REPLIQ_AFTER_BLOCK 1

/** Behind a dead letter the rest of its key becomes dead letters, too, until these are put back, or dropped. */
#define REPLIQ_AFTER_PARK 2

/** A log line of something that failed. */
#define REPLIQ_LOG_ERROR 1

/** A log line of something that is not as it should be, while the library goes on. */
#define REPLIQ_LOG_WARN 2

/** A log line for operators. */
#define REPLIQ_LOG_INFO 3

/** A log line for developers. */
#define REPLIQ_LOG_DEBUG 4

/** A log line of everything there is. */
#define REPLIQ_LOG_TRACE 5

/** Number of bytes of a token. */
#define REPLIQ_TOKEN_SIZE 40

/** Number of bytes of a token's text, with the NUL at its end. */
#define REPLIQ_TOKEN_TEXT_SIZE 55

/** Number of bytes of a transaction's identity. */
#define REPLIQ_TRANSACTION_ID_SIZE 28

/** Number of bytes that the text of a transaction's identity has at most, with the NUL at its end. */
#define REPLIQ_TRANSACTION_ID_TEXT_SIZE 65

/** Number of bytes of an error's text, with the NUL at its end. */
#define REPLIQ_ERROR_TEXT_SIZE 512

/** The message_index of an error that is about no message. */
#define REPLIQ_NO_INDEX UINT32_MAX

/** A named, durable reader of a queue. */
typedef struct repliq_consumer repliq_consumer;

/** A consumer with a handler. */
typedef struct repliq_listener repliq_listener;

/** A queue of finished operations. */
typedef struct repliq_port repliq_port;

/** A root queue with its targets. */
typedef struct repliq_replication repliq_replication;

/** A store that others can reach. */
typedef struct repliq_server repliq_server;

/** A transaction over any queues of one store; one thread at a time. */
typedef struct repliq_session repliq_session;

/** A look at the queues of a store without taking anything. */
typedef struct repliq_snapshot repliq_snapshot;

/** An open store. */
typedef struct repliq_store repliq_store;

/** A code of the table above: 0 is success. */
typedef int32_t repliq_code;

/** What went wrong: `repliq_error e = REPLIQ_ERROR; repliq_error_last(&e);`. */
typedef struct repliq_error {
    /** sizeof(repliq_error), as REPLIQ_ERROR sets it. */
    size_t size;
    /** The number to branch on. */
    repliq_code code;
    /** The code of the error behind this one, or 0. */
    repliq_code cause_code;
    /** The number of the operating system, or 0. */
    int32_t os_errno;
    /** REPLIQ_FLAG_*, or'ed. */
    uint32_t flags;
    /** The message of a batch that was refused, counted from 0, or REPLIQ_NO_INDEX. */
    uint32_t message_index;
    /** The first sequence or offset it is about, or 0. */
    uint64_t sequence_from;
    /** The last one. */
    uint64_t sequence_to;
    /** For people: what was done, to what, and why it failed. UTF-8 with a NUL at its end. */
    char text[REPLIQ_ERROR_TEXT_SIZE];
} repliq_error;

/** Called for each log line, from any thread, with texts that live until it returns. It must not throw. */
typedef void (*repliq_log_function)(void *user, int32_t level, const char *target, const char *text);

/** The proof of a commit, to be asked for at any store of the same group. Compare with memcmp. */
typedef struct repliq_token {
    /** The same on every machine. */
    uint8_t bytes[REPLIQ_TOKEN_SIZE];
} repliq_token;

/** The identity of a session's transaction, known before its commit and after. Compare with memcmp. */
typedef struct repliq_transaction_id {
    /** The same on every machine: the session (16), its epoch (4) and the transaction's number (8), big-endian. */
    uint8_t bytes[REPLIQ_TRANSACTION_ID_SIZE];
} repliq_transaction_id;

/** A length of bytes somewhere. `data` may be NULL when `len` is 0. */
typedef struct repliq_bytes {
    /** The first byte. */
    const void *data;
    /** How many there are. */
    size_t len;
} repliq_bytes;

/** How to open a store: `repliq_store_options o = REPLIQ_STORE_OPTIONS;`. Zero is the default everywhere. */
typedef struct repliq_store_options {
    /** sizeof(repliq_store_options), as the macro sets it. */
    size_t size;
    /** Must be 0. */
    uint32_t flags;
    /** What commits survive that name no level; REPLIQ_LEVEL_POWER by default. */
    int32_t level;
    /** Encrypts the store at rest; empty for a store in clear text. Copied, and wiped at close. */
    repliq_bytes password;
    /** Whether a store is created where there is none; REPLIQ_YES by default. */
    int32_t create;
    /** Whether the store is opened for looking only; REPLIQ_NO by default. */
    int32_t read_only;
    /** Whether a thread works ahead (prepared segments, reclaim); REPLIQ_YES by default. */
    int32_t helper;
    /**
     * What that survives which others have seen (consumers, targets, who sent it here); REPLIQ_LEVEL_POWER by default.
     * With REPLIQ_LEVEL_PROCESS they see it without a sync, and a power cut may take back what was seen; the store then
     * goes on in a new epoch, and a token of what is lost answers REPLIQ_NOT_FOUND.
     */
    int32_t horizon;
    /** Bytes of the first segment, a power of two of at least 4096; 65536 by default. */
    uint64_t segment_bytes;
    /** Bytes of the largest segment; 67108864 by default. */
    uint64_t segment_bytes_max;
    /** How long what every reader has is kept for receivers that went back; 86400000 by default. */
    uint64_t keep_ms;
    /** How many bytes of it at most; 1073741824 by default. */
    uint64_t keep_bytes;
    /**
     * Bytes of all segment files together, at least 16 times `segment_bytes`; no bound by default. At the bound puts
     * answer REPLIQ_NO_SPACE, with REPLIQ_QUOTA as its cause, until something was acknowledged, purged or deleted.
     */
    uint64_t quota_bytes;
    /** A store opened by URL, as what follows: as whom to log in where the URL does not say, or NULL. */
    const char *user;
    /** PEM file of the authorities to trust instead of the system's, or NULL. */
    const char *ca_file;
    /** The name the server's certificate must hold where it is not the host of the URL, or NULL. */
    const char *server_name;
    /** Plain TCP instead of TLS; REPLIQ_NO by default. The server must allow it, too. */
    int32_t plain;
    /** Whether to try again after a lost connection; REPLIQ_YES by default. */
    int32_t reconnect;
    /** Milliseconds after which a silent connection shows that it lives, 50 to 20000; 5000 by default. */
    uint64_t heartbeat_ms;
    /**
     * Milliseconds for everything from the name of the host to the end of the login, and for a call to the server
     * beside what it waits for there; 10000 by default.
     */
    uint64_t connect_timeout_ms;
    /** The longest time between two tries, in milliseconds; 30000 by default. */
    uint64_t reconnect_ms_max;
} repliq_store_options;

/** What a backup or a restore did. */
typedef struct repliq_backup {
    /** Sequence of the last transaction in it. */
    uint64_t sequence;
    /** Files it consists of. */
    uint64_t files;
    /** Files that were copied; the others were there already. */
    uint64_t files_copied;
    /** Bytes of all its files. */
    uint64_t bytes;
    /** Bytes that were copied. */
    uint64_t bytes_copied;
    /** Epoch of the last transaction in it. */
    uint32_t epoch;
    /** 0. */
    uint32_t reserved;
} repliq_backup;

/** A queue of a store: a plain number, never closed, valid as long as the store has the queue. */
typedef uint32_t repliq_queue;

/** A header of a message. */
typedef struct repliq_header {
    /** UTF-8, not empty. */
    repliq_bytes name;
    /** Any bytes. */
    repliq_bytes value;
} repliq_header;

/** A message. A program that puts fills in what it wants, the rest is zero: `repliq_message m = REPLIQ_MESSAGE;`. */
typedef struct repliq_message {
    /** What it says. */
    repliq_bytes payload;
    /** What it is about; readers select and order by it. May be empty. */
    repliq_bytes key;
    /** Its headers; NULL when there are none. */
    const repliq_header *headers;
    /** How many headers there are. */
    size_t header_count;
    /** The name of a producer that numbers its messages, UTF-8; empty for none. */
    repliq_bytes producer;
    /** The producer's number, exactly one above its last one. A repeated number is stored once. */
    uint64_t producer_sequence;
    /** When it stops being worth delivering, in milliseconds since 1970; 0 for never. */
    uint64_t expires_ms;
    /** Not to be received earlier, in milliseconds since 1970; 0 for at once. */
    uint64_t deliver_at_ms;
    /** A number for the program's own use, such as a request id; 0 for none. */
    uint16_t kind;
    /** 0 to 9: of what waits, the highest is received first. */
    uint8_t priority;
    /** Must be 0. */
    uint8_t reserved[5];
    /** Read only: its place in its queue, gap-free from 1. Ignored by put, as is what follows. */
    uint64_t sequence;
    /** Read only: when its transaction was committed, in milliseconds since 1970. */
    uint64_t committed_ms;
    /** Read only: its queue. */
    repliq_queue queue;
    /** Read only: how often it was handed to this consumer, this time counted. */
    uint32_t deliveries;
} repliq_message;

/** How to put: `repliq_put_options o = REPLIQ_PUT_OPTIONS;`. */
typedef struct repliq_put_options {
    /** sizeof(repliq_put_options), as the macro sets it. */
    size_t size;
    /** Must be 0. */
    uint32_t flags;
    /** What the commit must survive; the store's level by default. */
    int32_t level;
} repliq_put_options;

/** What a commit answers. */
typedef struct repliq_result {
    /** Where the transaction is in the order of commits. */
    repliq_token token;
    /** What it survives: REPLIQ_LEVEL_PROCESS or REPLIQ_LEVEL_POWER. */
    int32_t level;
} repliq_result;

/** What became of a transaction. */
typedef struct repliq_outcome {
    /** REPLIQ_OUTCOME_*. */
    int32_t state;
    /** Where it is in the order of commits, of REPLIQ_OUTCOME_COMMITTED; zeros otherwise. */
    repliq_token token;
} repliq_outcome;

/** What became of dead letters. */
typedef struct repliq_redriven {
    /** Put back, or dropped. */
    uint64_t done;
    /** Those that stay letters. */
    uint64_t refused;
    /** The sequence of the first of these, or 0. */
    uint64_t sequence;
    /** Why it stays. UTF-8 with a NUL at its end. */
    char reason[REPLIQ_ERROR_TEXT_SIZE];
} repliq_redriven;

/** How to open a session: `repliq_session_options o = REPLIQ_SESSION_OPTIONS;`. */
typedef struct repliq_session_options {
    /** sizeof(repliq_session_options), as the macro sets it. */
    size_t size;
    /** Must be 0. */
    uint32_t flags;
    /** What its commits must survive; the store's level by default. */
    int32_t level;
    /** Its name, of which one is open at a time; NULL or empty for none. */
    const char *name;
    /**
     * Whether to take the session of this name over, REPLIQ_NO by default: whoever has it open is REPLIQ_FENCED from
     * then on.
     */
    int32_t takeover;
    /**
     * Milliseconds a transaction may be open without a call before it is rolled back; the next call then answers
     * REPLIQ_ROLLED_BACK, caused by REPLIQ_TIMEOUT. 0 for no bound, at a server for the server's own, 60000.
     */
    uint32_t idle_ms;
    /**
     * Bytes a transaction may put, 64 more for each message; the put beyond it is refused with REPLIQ_QUOTA, and the
     * transaction can only be rolled back; 0 for no bound.
     */
    uint64_t bytes_max;
} repliq_session_options;

/** How to open a consumer: `repliq_consumer_options o = REPLIQ_CONSUMER_OPTIONS;`. */
typedef struct repliq_consumer_options {
    /** sizeof(repliq_consumer_options), as the macro sets it. */
    size_t size;
    /** Must be 0. */
    uint32_t flags;
    /** Where a consumer begins that is created by this call: REPLIQ_FROM_*. */
    int32_t from;
    /** The sequence for REPLIQ_FROM_SEQUENCE, otherwise 0. */
    uint64_t from_sequence;
    /**
     * What acknowledgements survive; REPLIQ_LEVEL_POWER by default. With REPLIQ_LEVEL_PROCESS they ride with
     * the next sync, and a power cut delivers again.
     */
    int32_t ack_level;
    /**
     * Whether consumers of this name may be open several times, each message going to one: REPLIQ_YES or REPLIQ_NO,
     * which is the default. All open it with the same options.
     */
    int32_t shared;
    /**
     * Whether messages of one key are handed out one after the other: REPLIQ_YES or REPLIQ_NO, which is the default. A
     * key is busy until what was handed out of it is acknowledged or given back.
     */
    int32_t keyed;
    /** With shared: messages that may be out at a time over all of them; 0 for no bound. */
    uint32_t parallel;
    /** With keyed: messages of one key that one receive may hand out together; 0 for 1. */
    uint32_t per_key;
    /** What retry_delay_ms is multiplied by with each further time; 0 or 1 for nothing. */
    uint32_t retry_multiplier;
    /**
     * How often a message is handed out at most: one that comes back from the last time moves to dead_letters. 0 for any
     * number of times.
     */
    uint32_t max_deliveries;
    /** The queue it moves to, with headers that say why, how often, when and from where; 0 without max_deliveries. */
    repliq_queue dead_letters;
    /** With shared or keyed: milliseconds after which another may be handed what this one has; 0 for never. */
    uint64_t lease_ms;
    /** Milliseconds before a message that was given back, or rolled back, comes again; 0 for at once. */
    uint64_t retry_delay_ms;
    /** Milliseconds it grows to at most; 0 for no bound. */
    uint64_t retry_delay_ms_max;
    /** With keyed and max_deliveries: what the rest of a key does behind a dead letter: REPLIQ_AFTER_*. */
    int32_t after_dead_letter;
    /**
     * With keyed, and without per_key: whether of the messages of one key that wait the newest is handed out alone, and
     * those before it never: REPLIQ_YES or REPLIQ_NO, which is the default.
     */
    int32_t conflate;
    /**
     * With keyed, and without per_key: whether a message whose header "repliq-version", a number, is not above the last
     * one of its key that was acknowledged is acknowledged and not handed out: REPLIQ_YES or REPLIQ_NO, which is the
     * default.
     */
    int32_t key_versions;
    /** Must be 0. */
    int32_t reserved;
} repliq_consumer_options;

/**
 * Called by a listener on a thread of its own, with messages that live until it returns, and a session: what
 * the handler puts there is committed together with the acknowledgement. Answers REPLIQ_HANDLED, REPLIQ_RETRY
 * or REPLIQ_PARK. It must not throw, commit, roll back, or close the listener or the session.
 */
typedef int32_t (*repliq_handler)(void *user,
                                  repliq_session *session,
                                  const repliq_message *messages,
                                  size_t n);

/** How to listen: `repliq_listener_options o = REPLIQ_LISTENER_OPTIONS;`. */
typedef struct repliq_listener_options {
    /** sizeof(repliq_listener_options), as the macro sets it. */
    size_t size;
    /** Must be 0. */
    uint32_t flags;
    /** What the handler gets: REPLIQ_UNIT_*. */
    int32_t unit;
    /** What happens to a message that cannot be handled: REPLIQ_POLICY_*. */
    int32_t policy;
    /** REPLIQ_POLICY_DEAD_LETTER: after how many failures, at least 1; otherwise 0. */
    uint32_t dead_letter_after;
    /** REPLIQ_POLICY_DEAD_LETTER: the name of the queue it is moved to; otherwise NULL. */
    const char *dead_letter_queue;
    /** The first pause before a message is tried again, in milliseconds, doubled each time; 100 by default. */
    uint64_t retry_ms;
    /** The longest pause, in milliseconds; 10000 by default. */
    uint64_t retry_ms_max;
    /**
     * Threads that call the handler, at most 1,024; 0 for 1. With several of them it is called by several at once, and
     * there is no order but that of a keyed consumer.
     */
    uint32_t threads;
    /** Must be 0. */
    uint32_t reserved;
} repliq_listener_options;

/** What happened to an operation started with a port. */
typedef struct repliq_event {
    /** As it was given when the operation was started. */
    uint64_t tag;
    /** How the operation ended. */
    repliq_code code;
    /** The code of the error behind it, or 0. */
    repliq_code cause_code;
    /** The error's text; empty on success. Lives until the next drain or close of the port. */
    repliq_bytes text;
    /** On success, what the commit answered. */
    repliq_result result;
} repliq_event;

/** How to replicate: `repliq_replication_options o = REPLIQ_REPLICATION_OPTIONS;`. */
typedef struct repliq_replication_options {
    /** sizeof(repliq_replication_options), as the macro sets it. */
    size_t size;
    /** Must be 0. */
    uint32_t flags;
    /** What commits must survive; the store's level by default. */
    int32_t level;
} repliq_replication_options;

/** How to reach a target, and what it gets: `repliq_target_options o = REPLIQ_TARGET_OPTIONS;`. */
typedef struct repliq_target_options {
    /** sizeof(repliq_target_options), as the macro sets it. */
    size_t size;
    /** Must be 0. */
    uint32_t flags;
    /** Plain TCP instead of TLS; REPLIQ_NO by default. The server must allow it, too. */
    int32_t plain;
    /** The queue at the target; NULL for the one the URL names, or else the root's name. */
    const char *queue;
    /** As whom to log in where the URL does not say, or NULL. */
    const char *user;
    /** The password of that user; empty for none. Copied; it never leaves the process. */
    repliq_bytes password;
    /** PEM file of the authorities to trust instead of the system's, or NULL. */
    const char *ca_file;
    /** The name the server's certificate must hold where it is not the host of the URL, or NULL. */
    const char *server_name;
    /** Only messages of one of these kinds; NULL for all. */
    const uint16_t *kinds;
    /** How many of them there are. */
    size_t kind_count;
    /** Only messages whose key begins so; empty for all. */
    repliq_bytes key_prefix;
    /** Only messages that have a header of this name; NULL for all. */
    const char *header_name;
    /** And this value; NULL for any. */
    const char *header_value;
    /** Where a target begins that is new: REPLIQ_FROM_OLDEST or REPLIQ_FROM_NOW. */
    int32_t from;
    /** Whether to try again after a failure or a lost connection; REPLIQ_YES by default. */
    int32_t reconnect;
    /** Milliseconds after which a silent connection shows that it lives, 50 to 20000; 5000 by default. */
    uint64_t heartbeat_ms;
    /** Milliseconds for everything from the name of the host to the end of the login; 10000 by default. */
    uint64_t connect_timeout_ms;
    /** The longest time between two tries, in milliseconds; 30000 by default. */
    uint64_t reconnect_ms_max;
} repliq_target_options;

/** How a target is: `repliq_target_status s = REPLIQ_TARGET_STATUS; repliq_replication_target(r, name, &s);`. */
typedef struct repliq_target_status {
    /** sizeof(repliq_target_status), as the macro sets it. */
    size_t size;
    /** Whether its link is connected and logged in: REPLIQ_YES or REPLIQ_NO. */
    int32_t connected;
    /** Whether its link waits for an operator, who reads why in `last_error`: REPLIQ_YES or REPLIQ_NO. */
    int32_t stopped;
    /** The last transaction of this store up to which everything for it is there, durably: its sequence, or 0. */
    uint64_t position_sequence;
    /** And its epoch, or 0. */
    uint32_t position_epoch;
    /** 0. */
    uint32_t reserved;
    /** Messages of the root it has not confirmed. */
    uint64_t lag_messages;
    /** Bytes of them. */
    uint64_t lag_bytes;
    /** Age of the oldest of them in milliseconds. */
    uint64_t lag_ms;
    /** For people: what went wrong last, or "". UTF-8 with a NUL at its end. */
    char last_error[REPLIQ_ERROR_TEXT_SIZE];
} repliq_target_status;

/** A user of a server, and what it may do: `verbs` on the `queues`. */
typedef struct repliq_user {
    /** UTF-8, not empty. */
    const char *name;
    /** Its password; only a verifier of it is kept. */
    repliq_bytes password;
    /** Of replicate, publish, browse, consume, admin, with commas between. */
    const char *verbs;
    /** Names of queues, or patterns with `*`, with commas between. */
    const char *queues;
} repliq_user;

/** How to serve: `repliq_server_options o = REPLIQ_SERVER_OPTIONS;`. */
typedef struct repliq_server_options {
    /** sizeof(repliq_server_options), as the macro sets it. */
    size_t size;
    /** Must be 0. */
    uint32_t flags;
    /** Whether plain TCP is allowed; REPLIQ_NO by default. Without it and without a certificate nobody gets in. */
    int32_t plain;
    /**
     * Where to listen: "host:port", "[address]:port", port 0 for any that is free, "unix:/path"; NULL for
     * "127.0.0.1:20901".
     */
    const char *const *listen;
    /** How many of them there are. */
    size_t listen_count;
    /** PEM file of the certificate chain for TLS, or NULL. */
    const char *certificate_file;
    /** PEM file of its key, or NULL. */
    const char *key_file;
    /** The users, as the command line writes them to a file; NULL where they come next. */
    const char *users_file;
    /** The users themselves, or NULL. */
    const repliq_user *users;
    /** How many of them there are. */
    size_t user_count;
    /** Milliseconds after which a silent connection shows that it lives, 50 to 20000; 5000 by default. */
    uint64_t heartbeat_ms;
    /** Milliseconds from the first byte of a connection to the end of its login; 5000 by default. */
    uint64_t login_ms;
    /** The longest wait after failed logins, in milliseconds; 30000 by default. */
    uint64_t failure_wait_ms_max;
    /** Connections at one time; 1024 by default. */
    uint32_t connections_max;
    /** Of these, connections that have not logged in; 64 by default. */
    uint32_t strangers_max;
    /** Failed logins of one user from one address before the next ones have to wait; 5 by default. */
    uint32_t failures_max;
    /**
     * How many percent of the next three, of the sessions a store remembers and of its prepared transactions one user
     * has at most, 1 to 100; 50 by default.
     */
    uint32_t user_share;
    /** Sessions that are open at one time, over all connections; 16384 by default. */
    uint32_t sessions_max;
    /** Of these, sessions whose transaction has put or received something; 4096 by default. */
    uint32_t transactions_max;
    /** Bytes that open transactions have staged, with 64 for each message; 4294967296 by default. */
    uint64_t staged_bytes_max;
} repliq_server_options;

/**
 * Stores in `*error` what the last call of this thread that failed had to say. Calls that succeed leave it as
 * it is.
 *
 * Fails with REPLIQ_INVALID (NULL, unknown size).
 */
repliq_code repliq_error_last(repliq_error *error);

/** The name of a code without REPLIQ_, such as "TOO_LARGE"; "UNKNOWN" for a number without a name. Never freed. */
const char *repliq_code_name(repliq_code code);

/** The flags of a code, REPLIQ_FLAG_* or'ed; 0 for a number without a name. */
uint32_t repliq_code_flags(repliq_code code);

/** The version of the library, such as "0.1.0". Never freed. */
const char *repliq_version(void);

/** The number of the ABI the library has; REPLIQ_ABI_VERSION is the header's. */
uint32_t repliq_abi_version(void);

/**
 * Sends log lines of `level` and more important ones to `function`, with `user`; NULL ends that. When it
 * returns, the function that was set before is not running and will not be called any more.
 *
 * `function` may be NULL, `user` may be NULL. Without a function the library logs nothing.
 *
 * Fails with REPLIQ_INVALID (no such level), REPLIQ_BUSY (called from the function itself), REPLIQ_EXISTS (a
 * Rust program around this library has a logger already).
 */
repliq_code repliq_log_set(repliq_log_function function, void *user, int32_t level);

/**
 * Reads a token: 40 bytes, or the 54 characters of its text.
 *
 * Fails with REPLIQ_INVALID (NULL, or anything that is no token), REPLIQ_TOO_LARGE (length).
 */
repliq_code repliq_token_parse(const void *data, size_t len, repliq_token *token);

/**
 * Writes the text of a token, 54 characters and a NUL, to `text`, which has room for `size` bytes.
 *
 * Fails with REPLIQ_INVALID (NULL, less room than REPLIQ_TOKEN_TEXT_SIZE, no token).
 */
repliq_code repliq_token_text(const repliq_token *token, char *text, size_t size);

/**
 * Stores in `out`, which has room for `n` tokens, the least set that says the same as these `n` tokens, and
 * its number in `*m`. `tokens` and `out` may be the same.
 *
 * Fails with REPLIQ_INVALID (NULL, n is 0, no token), REPLIQ_TOO_LARGE (n).
 */
repliq_code repliq_token_join(const repliq_token *tokens,
                              size_t n,
                              repliq_token *out,
                              size_t *m);

/**
 * Reads the identity of a transaction: 28 bytes, or its text.
 *
 * Fails with REPLIQ_INVALID (NULL, or anything that is no identity), REPLIQ_TOO_LARGE (length).
 */
repliq_code repliq_transaction_id_parse(const void *data, size_t len, repliq_transaction_id *id);

/**
 * Writes the text of a transaction's identity, the session in hexadecimal digits, the epoch and the number with dots
 * between them, and a NUL, to `text`, which has room for `size` bytes.
 *
 * Fails with REPLIQ_INVALID (NULL, less room than REPLIQ_TRANSACTION_ID_TEXT_SIZE, no identity).
 */
repliq_code repliq_transaction_id_text(const repliq_transaction_id *id,
                                       char *text,
                                       size_t size);

/**
 * Opens the store in the directory `path`, which is created when there is none, and stores it in `*store`. A `path`
 * such as "repliq://user@host:port" or "repliq+unix://user@/path/of/socket" opens the store at that server.
 *
 * For a directory no thread is started and no socket opened. At a server `password` is the user's; a connection that
 * is lost comes back by itself, and what only the owner of a directory can do, such as a backup, is
 * REPLIQ_UNSUPPORTED. `options` may be NULL. Close with repliq_store_close.
 *
 * Fails with REPLIQ_INVALID (NULL, not UTF-8, an option out of range), REPLIQ_TOO_LARGE (a text, the password),
 * REPLIQ_NOT_A_STORE (something else is there, or nothing and `create` is REPLIQ_NO), REPLIQ_LOCKED (open elsewhere;
 * the owner is named), REPLIQ_BAD_PASSWORD (wrong, missing or needless), REPLIQ_PERMISSION, REPLIQ_VERSION,
 * REPLIQ_CORRUPT (what is left can be read with `read_only`), REPLIQ_NO_SPACE, REPLIQ_IO; for a URL with
 * REPLIQ_INVALID, REPLIQ_UNREACHABLE, REPLIQ_DENIED, REPLIQ_CERTIFICATE, REPLIQ_PROTOCOL, REPLIQ_TIMEOUT.
 */
repliq_code repliq_store_open(const char *path,
                              const repliq_store_options *options,
                              repliq_store **store);

/**
 * Makes everything durable, ends the store's threads and gives the directory free; leaves the server of a URL, where
 * what is open is rolled back.
 *
 * Waits for calls inside. Sessions, consumers, listeners and snapshots of the store answer REPLIQ_CLOSED from
 * now on and still want to be closed. NULL is fine.
 *
 * Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from a callback of a call on the store), REPLIQ_IO; after
 * REPLIQ_IO the handle is closed all the same.
 */
repliq_code repliq_store_close(repliq_store *store);

/**
 * Gives an encrypted store another password: `len` bytes at `data`, 1 to 4,096.
 *
 * The bytes are copied, and wiped after use. Only the key file is written anew, in a way that a crash leaves one
 * of the two passwords valid. Thread-safe; takes as long as the derivation of a key, about 0.2 s.
 *
 * Fails with REPLIQ_INVALID (NULL, empty, or a store that is not encrypted), REPLIQ_TOO_LARGE,
 * REPLIQ_READ_ONLY, REPLIQ_NO_SPACE, REPLIQ_IO, REPLIQ_CLOSED.
 */
repliq_code repliq_store_password(repliq_store *store,
                                  const void *data,
                                  size_t len);

/**
 * Copies everything committed into the directory `dest`, while others go on writing, and stores what was done in
 * `*info`.
 *
 * Another backup into the same directory copies only what is new; a stop at any time leaves the backup that was
 * there before. The directory is no store: repliq_store_restore makes one of it. `info` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_NOT_A_STORE (`dest` holds other things), REPLIQ_EXISTS (a backup of another
 * store), REPLIQ_LOCKED (another backup goes there), REPLIQ_CORRUPT (what is to be copied is damaged),
 * REPLIQ_BUSY, REPLIQ_NO_SPACE, REPLIQ_PERMISSION, REPLIQ_IO, REPLIQ_CLOSED.
 */
repliq_code repliq_store_backup(repliq_store *store,
                                const char *dest,
                                repliq_backup *info);

/**
 * Makes a store of the backup in the directory `backup`, in the directory `path`, which must be empty or missing,
 * and stores what was done in `*info`.
 *
 * The store begins a new epoch: what was committed behind the backup is lost, and its tokens answer
 * REPLIQ_NOT_FOUND. Of `options` the password and the sizes count; `options` may be NULL. `info` may be NULL.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_NOT_A_STORE (no backup), REPLIQ_EXISTS (`path` is not empty), REPLIQ_CORRUPT,
 * REPLIQ_BAD_PASSWORD, REPLIQ_LOCKED, REPLIQ_NO_SPACE, REPLIQ_PERMISSION, REPLIQ_IO.
 */
repliq_code repliq_store_restore(const char *backup,
                                 const char *path,
                                 const repliq_store_options *options,
                                 repliq_backup *info);

/**
 * Stores the queue of this name in `*queue`; it is created on first use.
 *
 * A name has 1 to 255 bytes of UTF-8 without control characters. Thread-safe.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (the name), REPLIQ_QUOTA, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
 */
repliq_code repliq_store_queue(repliq_store *store, const char *name, repliq_queue *queue);

/**
 * Puts `n` messages into a queue as one transaction and waits until it is as durable as asked.
 *
 * The bytes are copied. `options` may be NULL, `result` may be NULL. Thread-safe: callers that meet share a
 * sync.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE, REPLIQ_NO_SUCH_NAME (the queue is deleted), REPLIQ_PAUSED,
 * REPLIQ_OUT_OF_ORDER, REPLIQ_UNSUPPORTED, REPLIQ_NO_SPACE, REPLIQ_READ_ONLY: nothing was put, and
 * message_index of the error says where. REPLIQ_OUTCOME_UNKNOWN: the disk failed, the next open decides.
 */
repliq_code repliq_store_put(repliq_store *store,
                             repliq_queue queue,
                             const repliq_message *messages,
                             size_t n,
                             const repliq_put_options *options,
                             repliq_result *result);

/**
 * Puts `n` messages as one transaction at the store's level without waiting; `port` gets the outcome under
 * `tag`.
 *
 * The bytes are copied before it returns. Thread-safe.
 *
 * Fails as repliq_store_put does for what can be told at once; then the port gets nothing.
 */
repliq_code repliq_store_put_start(repliq_store *store,
                                   repliq_queue queue,
                                   const repliq_message *messages,
                                   size_t n,
                                   repliq_port *port,
                                   uint64_t tag);

/**
 * Waits until the transactions of all `n` tokens are at a place, at most `timeout_ms`.
 *
 * `at` is "" (applied and durable here), "target:NAME", "target:*" (at every target) or "consumer:NAME"
 * (acknowledged); `at` may be NULL, which is "". Thread-safe.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_TIMEOUT, REPLIQ_EMPTY (the transaction wrote nothing), REPLIQ_NOT_FOUND
 * (lost; final), REPLIQ_WRONG_GROUP, REPLIQ_NO_SUCH_NAME, REPLIQ_CLOSED.
 */
repliq_code repliq_store_wait(repliq_store *store,
                              const char *at,
                              const repliq_token *tokens,
                              size_t n,
                              uint64_t timeout_ms);

/**
 * The same without waiting; `port` gets the outcome under `tag`, with the last token in its result.
 *
 * `at` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_CLOSED; then the port gets nothing.
 */
repliq_code repliq_store_watch(repliq_store *store,
                               const char *at,
                               const repliq_token *tokens,
                               size_t n,
                               repliq_port *port,
                               uint64_t tag);

/**
 * Stores what became of a session's transaction in `*outcome`, finally: a commit that is under way is waited for, and
 * one that has not begun never will be; its session hears REPLIQ_ROLLED_BACK.
 *
 * REPLIQ_OUTCOME_EXPIRED answers for all before the session's last committed transaction, and for sessions that were
 * not used for 24 hours. Thread-safe.
 *
 * Fails with REPLIQ_INVALID (NULL, no identity, or one its session never came to), REPLIQ_DENIED (another user's),
 * REPLIQ_READ_ONLY, REPLIQ_CLOSED; at a server with REPLIQ_UNREACHABLE, REPLIQ_TIMEOUT: ask again.
 */
repliq_code repliq_store_resolve(repliq_store *store,
                                 const repliq_transaction_id *id,
                                 repliq_outcome *outcome);

/**
 * Commits a prepared transaction, or rolls it back where `commit` is REPLIQ_NO, durably; `*result` gets where that is in
 * the order of commits. `result` may be NULL.
 *
 * It may come from anywhere and again: asked twice it says the same. How one ended is known for 24 hours, of the last
 * 16,384; where it was ended by hand, from the command line, longer.
 *
 * Fails with REPLIQ_INVALID (no identity, a `commit` that is neither; also a roll back of what was committed before),
 * REPLIQ_ROLLED_BACK (a commit of what was rolled back before), REPLIQ_NO_SUCH_NAME (none is known), REPLIQ_DENIED
 * (another user's), REPLIQ_NO_SPACE (it waits on), REPLIQ_READ_ONLY, REPLIQ_CLOSED; at a server with
 * REPLIQ_UNREACHABLE, REPLIQ_TIMEOUT: ask again.
 */
repliq_code repliq_store_finish(repliq_store *store,
                                const repliq_transaction_id *id,
                                int32_t commit,
                                repliq_result *result);

/**
 * Writes the prepared transactions that wait, and those that were ended by hand, as a JSON array to `text`, which has
 * room for `size` bytes, and the length of the whole to `*len`, as repliq_store_status does.
 * `len` may be NULL. Thread-safe.
 *
 * Each is an object: `transaction` (the identity's text), `xid` (hexadecimal digits), `user`, `since_ms`, `messages` and
 * `bytes` it puts, `held` (messages it has received), `state` (prepared, committed, rolled_back), and of one that was
 * ended `token`, `ended_by` and `ended_ms`. At a server these are the user's own; with the right `admin` on `*`, all.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (size), REPLIQ_CLOSED; at a server as its other calls do.
 */
repliq_code repliq_store_prepared(repliq_store *store,
                                  char *text,
                                  size_t size,
                                  size_t *len);

/**
 * Writes what the store is and has, as JSON, to `text`, which has room for `size` bytes, and the length of the
 * whole to `*len`.
 *
 * Like snprintf: where `*len` is not less than `size`, the text was cut; a `size` of 0 with a `text` of NULL
 * only asks for the length. Otherwise `len` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (size), REPLIQ_CLOSED.
 */
repliq_code repliq_store_status(repliq_store *store,
                                char *text,
                                size_t size,
                                size_t *len);

/**
 * Refuses puts and receives with REPLIQ_PAUSED until repliq_queue_resume.
 *
 * `result` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_NO_SUCH_NAME, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
 */
repliq_code repliq_queue_pause(repliq_store *store, repliq_queue queue, repliq_result *result);

/**
 * Accepts puts and receives again.
 *
 * `result` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_NO_SUCH_NAME, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
 */
repliq_code repliq_queue_resume(repliq_store *store, repliq_queue queue, repliq_result *result);

/**
 * Drops every message that is in the queue now. Sequences go on.
 *
 * `result` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_NO_SUCH_NAME, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
 */
repliq_code repliq_queue_purge(repliq_store *store, repliq_queue queue, repliq_result *result);

/**
 * Deletes the queue with its messages and consumers. A queue made later under its name is another one.
 *
 * `result` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_NO_SUCH_NAME, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
 */
repliq_code repliq_queue_delete(repliq_store *store, repliq_queue queue, repliq_result *result);

/**
 * Puts the dead letters of a queue back where they came from, the oldest first, at most `max` of them, 0 for all; or drops
 * them, with `drop` REPLIQ_YES. What became of them is stored in `*redriven`.
 *
 * One that was worked on in the order of its key comes again at its place, for the consumer that gave it up alone; it is
 * refused, and stays, where something newer of its key was acknowledged since. `redriven` may be NULL.
 * At a server this needs the right admin on the queue and on those its letters came from. Thread-safe.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME, REPLIQ_BUSY (another call is at it), REPLIQ_DENIED, REPLIQ_READ_ONLY,
 * REPLIQ_CLOSED.
 */
repliq_code repliq_queue_redrive(repliq_store *store,
                                 repliq_queue queue,
                                 uint64_t max,
                                 int32_t drop,
                                 repliq_redriven *redriven);

/**
 * Opens a session on a store and stores it in `*session`.
 *
 * A session is one transaction after the other: puts and receives, then commit or rollback, and the next one
 * begins by itself. One thread at a time. One with a name is remembered, and open once at a time. `options` may be
 * NULL. Close with repliq_session_close.
 *
 * At a server, puts are staged there while the program goes on: what it refuses, also for the queue, is told by a
 * later call, with REPLIQ_ROLLBACK_ONLY and the first cause; a connection that is lost takes the open transaction with
 * it (REPLIQ_ROLLED_BACK), and the session goes on with the next one.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (the name), REPLIQ_EXISTS (open already, and no takeover), REPLIQ_DENIED
 * (another user's), REPLIQ_QUOTA (too many remembered), REPLIQ_READ_ONLY, REPLIQ_CLOSED; at a server with
 * REPLIQ_UNREACHABLE, REPLIQ_TIMEOUT.
 */
repliq_code repliq_session_open(repliq_store *store,
                                const repliq_session_options *options,
                                repliq_session **session);

/**
 * Stores the identity of the open transaction in `*id`: repliq_store_resolve tells what became of it, also after a
 * crash, for 24 hours after the session's last use.
 *
 * In this process a session without a name is remembered from the first call on, which is a small transaction of its
 * own; its later commits write a line more.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_QUOTA (too many sessions are remembered), REPLIQ_READ_ONLY, REPLIQ_NO_SPACE,
 * REPLIQ_FENCED, REPLIQ_BUSY, REPLIQ_CLOSED.
 */
repliq_code repliq_session_id(repliq_session *session,
                              repliq_transaction_id *id);

/**
 * Adds `n` messages for a queue to the transaction. They are visible after the commit, not before.
 *
 * The bytes are copied. After an error none of the `n` was added.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE, REPLIQ_NO_SUCH_NAME, REPLIQ_UNSUPPORTED, REPLIQ_QUOTA (`bytes_max` of the
 * session: roll back), REPLIQ_BUSY (another thread), REPLIQ_ROLLBACK_ONLY (an earlier put failed: roll back),
 * REPLIQ_ROLLED_BACK, REPLIQ_FENCED, REPLIQ_CLOSED.
 */
repliq_code repliq_session_put(repliq_session *session,
                               repliq_queue queue,
                               const repliq_message *messages,
                               size_t n);

/**
 * Receives at most `max` messages of a consumer into the transaction, waiting at most `timeout_ms` for the
 * first, and stores their number in `*n`; 0 when the time was over. The commit acknowledges them.
 *
 * What the messages point to lives until the next receive, commit, rollback or close of the session.
 *
 * Fails with REPLIQ_INVALID (also: a consumer of another store), REPLIQ_PAUSED, REPLIQ_NO_SUCH_NAME (deleted),
 * REPLIQ_CORRUPT (with the range), REPLIQ_ROLLBACK_ONLY, REPLIQ_ROLLED_BACK, REPLIQ_FENCED, REPLIQ_BUSY,
 * REPLIQ_CLOSED.
 */
repliq_code repliq_session_receive(repliq_session *session,
                                   repliq_consumer *consumer,
                                   repliq_message *messages,
                                   size_t max,
                                   uint64_t timeout_ms,
                                   size_t *n);

/**
 * Commits the transaction; the next one begins.
 *
 * `result` may be NULL.
 *
 * Fails with REPLIQ_PAUSED, REPLIQ_OUT_OF_ORDER, REPLIQ_NO_SUCH_NAME, REPLIQ_NO_SPACE: nothing was written, the
 * transaction stands and can be tried again or rolled back. REPLIQ_STALE, REPLIQ_FENCED and REPLIQ_ROLLED_BACK end it,
 * the last with the first cause where something of it had failed before. REPLIQ_OUTCOME_UNKNOWN ends it, too: it is
 * committed or not, as repliq_store_resolve tells, or after a failed disk the next open. REPLIQ_BUSY, REPLIQ_CLOSED.
 */
repliq_code repliq_session_commit(repliq_session *session,
                                  repliq_result *result);

/**
 * Commits the transaction at the store's level without waiting; `port` gets the outcome under `tag`, and the
 * next transaction begins.
 *
 * Fails as repliq_session_commit does for what can be told at once; then the port gets nothing.
 */
repliq_code repliq_session_commit_start(repliq_session *session,
                                        repliq_port *port,
                                        uint64_t tag);

/**
 * Prepares the transaction for a coordinator outside, and stores its identity in `*id`; the next transaction begins.
 *
 * What it put is durable and seen by nobody, and what it received is given to nobody, until repliq_store_finish commits
 * it or rolls it back, from wherever and whenever that comes: also after a crash, and whatever becomes of this session.
 * `xid` is what the coordinator calls it, at most 255 bytes of any kind; NULL with a `len` of 0 for nothing.
 *
 * Fails as repliq_session_commit does, and with REPLIQ_QUOTA (1,024 are prepared already), REPLIQ_EXISTS (one that waits
 * has the same xid), REPLIQ_BUSY (one that waits has messages of the same producer), REPLIQ_TOO_LARGE (xid): the
 * transaction stands. After REPLIQ_OUTCOME_UNKNOWN repliq_store_resolve tells: pending where it is prepared.
 */
repliq_code repliq_session_prepare(repliq_session *session,
                                   const void *xid,
                                   size_t len,
                                   repliq_transaction_id *id);

/**
 * Forgets what was put and gives back what was received; the next transaction begins.
 *
 * Fails with REPLIQ_BUSY.
 */
repliq_code repliq_session_rollback(repliq_session *session);

/**
 * Closes a session; what was not committed is rolled back. NULL is fine.
 *
 * Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (another thread is inside, or a listener lent it).
 */
repliq_code repliq_session_close(repliq_session *session);

/**
 * Opens the consumer of this name on a queue and stores it in `*consumer`; it is created on first use, and its
 * place in the queue is kept for ever.
 *
 * `options` may be NULL. Close with repliq_consumer_close.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (the name), REPLIQ_NO_SUCH_NAME (the queue), REPLIQ_BUSY (open
 * already, and not shared), REPLIQ_READ_ONLY, REPLIQ_CLOSED.
 */
repliq_code repliq_consumer_open(repliq_store *store,
                                 const char *name,
                                 repliq_queue queue,
                                 const repliq_consumer_options *options,
                                 repliq_consumer **consumer);

/**
 * Receives at most `max` messages, waiting at most `timeout_ms` for the first, and stores their number in `*n`;
 * 0 when the time was over. Each comes again unless it is acknowledged.
 *
 * What the messages point to lives until the next receive or close of the consumer; therefore one thread at a
 * time.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_PAUSED, REPLIQ_NO_SUCH_NAME (deleted), REPLIQ_CORRUPT (with the range),
 * REPLIQ_BUSY (another thread receives), REPLIQ_CLOSED.
 */
repliq_code repliq_consumer_receive(repliq_consumer *consumer,
                                    repliq_message *messages,
                                    size_t max,
                                    uint64_t timeout_ms,
                                    size_t *n);

/**
 * Ends on `port` under `tag` once a receive may give something, or would fail, and with that error; its token is empty.
 * Nothing is received by it.
 *
 * Several consumers may be watched with one port, each under a tag of its own: the events say of which queues something
 * is there, and repliq_port_drain waits for the first. Thread-safe.
 *
 * Fails with REPLIQ_BAD_HANDLE, REPLIQ_CLOSED; then the port gets nothing.
 */
repliq_code repliq_consumer_watch(repliq_consumer *consumer,
                                  repliq_port *port,
                                  uint64_t tag);

/**
 * Acknowledges the messages with these `n` sequences, in any order, as a transaction of its own.
 *
 * `result` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_INVALID (NULL, n is 0, a message that was not handed out), REPLIQ_NO_SUCH_NAME (deleted),
 * REPLIQ_QUOTA (too many gaps), REPLIQ_STALE (shared or keyed: a message this consumer has not, or has no more),
 * REPLIQ_CLOSED.
 */
repliq_code repliq_consumer_ack(repliq_consumer *consumer,
                                const uint64_t *sequences,
                                size_t n,
                                repliq_result *result);

/**
 * Gives the messages with these `n` sequences back: they come again, in order, before newer ones, after `delay_ms`,
 * which outlast a reopen; with 0 as retry_delay_ms says.
 *
 * `reason` may be NULL; it is kept where the message becomes a dead letter, see max_deliveries. Thread-safe.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_STALE (shared or keyed: a message this consumer has not, or has no more; the others
 * come back), REPLIQ_CLOSED.
 */
repliq_code repliq_consumer_reject(repliq_consumer *consumer,
                                   const uint64_t *sequences,
                                   size_t n,
                                   uint64_t delay_ms,
                                   const char *reason);

/**
 * Gives the messages with these `n` sequences back as repliq_consumer_reject does, but they come again behind all that is
 * in the queue now, in this order, and not before newer ones: with keyed, those behind it of its key go on. That outlasts
 * a reopen.
 *
 * `reason` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_INVALID (also with conflate), REPLIQ_STALE, REPLIQ_CLOSED.
 */
repliq_code repliq_consumer_reject_to_end(repliq_consumer *consumer,
                                          const uint64_t *sequences,
                                          size_t n,
                                          uint64_t delay_ms,
                                          const char *reason);

/**
 * Keeps the messages with these `n` sequences for another lease_ms from now on.
 *
 * Thread-safe.
 *
 * Fails with REPLIQ_INVALID (also without lease_ms), REPLIQ_STALE (a message this consumer has not, or whose time was over),
 * REPLIQ_CLOSED.
 */
repliq_code repliq_consumer_renew(repliq_consumer *consumer,
                                  const uint64_t *sequences,
                                  size_t n);

/**
 * Goes on with the message of this sequence: what is before counts as acknowledged, from it on nothing does.
 *
 * `result` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME (deleted), REPLIQ_CLOSED.
 */
repliq_code repliq_consumer_seek(repliq_consumer *consumer,
                                 uint64_t sequence,
                                 repliq_result *result);

/**
 * Closes a consumer; who waits in a receive gets REPLIQ_CLOSED. Its place in the queue stays. NULL is fine.
 *
 * Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from a callback of a call on the consumer).
 */
repliq_code repliq_consumer_close(repliq_consumer *consumer);

/**
 * Deletes the consumer of this name on a queue; messages only it waited for may go.
 *
 * `result` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
 */
repliq_code repliq_consumer_delete(repliq_store *store,
                                   const char *name,
                                   repliq_queue queue,
                                   repliq_result *result);

/**
 * Makes a listener of a consumer and stores it in `*listener`: `handler` is called with `user` on a thread of
 * its own, or on several at once, message by message or transaction by transaction.
 *
 * The consumer belongs to the listener from now on, its handle is closed, also where opening fails with
 * something other than REPLIQ_INVALID, REPLIQ_BAD_HANDLE and REPLIQ_BUSY. `user` may be NULL, `options` may be
 * NULL. Close with repliq_listener_close.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_BUSY (the consumer is in use by a call that calls back), REPLIQ_TOO_LARGE
 * (the name of the queue of dead letters), REPLIQ_CLOSED.
 */
repliq_code repliq_listener_open(repliq_consumer *consumer,
                                 repliq_handler handler,
                                 void *user,
                                 const repliq_listener_options *options,
                                 repliq_listener **listener);

/**
 * Ends the work after the calls under way, and closes the consumer. The handler is not called any more when it
 * returns. NULL is fine.
 *
 * Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from its own handler).
 */
repliq_code repliq_listener_close(repliq_listener *listener);

/**
 * Opens a look at all queues of a store as they are now and stores it in `*snapshot`.
 *
 * It keeps the disk space of what it can see. Close with repliq_snapshot_close.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_CLOSED.
 */
repliq_code repliq_snapshot_open(repliq_store *store, repliq_snapshot **snapshot);

/**
 * Reads at most `max` messages of a queue, beginning with the sequence `from`, and stores their number in `*n`;
 * 0 at the end. Go on with the last sequence plus 1.
 *
 * What the messages point to lives until the next browse or close of the snapshot; therefore one thread at a
 * time.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME, REPLIQ_CORRUPT (with the range), REPLIQ_BUSY (another thread
 * browses), REPLIQ_CLOSED.
 */
repliq_code repliq_snapshot_browse(repliq_snapshot *snapshot,
                                   repliq_queue queue,
                                   uint64_t from,
                                   repliq_message *messages,
                                   size_t max,
                                   size_t *n);

/**
 * Closes a snapshot. Waits for a call inside. NULL is fine.
 *
 * Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from a callback of a call on the snapshot).
 */
repliq_code repliq_snapshot_close(repliq_snapshot *snapshot);

/**
 * Opens a port and stores it in `*port`. It belongs to no store and serves any number of them.
 *
 * Close with repliq_port_close.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_QUOTA.
 */
repliq_code repliq_port_open(repliq_port **port);

/**
 * Stores in `*fd` a descriptor that poll finds readable while events wait. It belongs to the port: neither read
 * nor close it.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_IO.
 */
repliq_code repliq_port_fd(repliq_port *port,
                           int32_t *fd);

/**
 * Takes at most `max` events, waiting at most `timeout_ms` for the first, and stores their number in `*n`; 0
 * when the time was over. Whoever waits here also does the syncs of what was started.
 *
 * What the events point to lives until the next drain or close of the port; therefore one thread at a time.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_BUSY (another thread drains), REPLIQ_CLOSED.
 */
repliq_code repliq_port_drain(repliq_port *port,
                              repliq_event *events,
                              size_t max,
                              uint64_t timeout_ms,
                              size_t *n);

/**
 * Ends the waiting for the operations with this tag: each gives an event with REPLIQ_CANCELLED now. What was
 * started goes on and may still be committed. Thread-safe.
 *
 * Fails with REPLIQ_NO_SUCH_NAME (no such operation).
 */
repliq_code repliq_port_cancel(repliq_port *port, uint64_t tag);

/**
 * Closes a port; who waits in a drain gets REPLIQ_CLOSED, and events that were not taken are dropped. NULL is
 * fine.
 *
 * Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from a callback of a call on the port).
 */
repliq_code repliq_port_close(repliq_port *port);

/**
 * Opens the replication of a root queue and stores it in `*replication`. Its targets are added one by one.
 *
 * `options` may be NULL. Close with repliq_replication_close.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME (the queue), REPLIQ_BUSY (the root is replicated already),
 * REPLIQ_READ_ONLY, REPLIQ_CLOSED.
 */
repliq_code repliq_replication_open(repliq_store *store,
                                    repliq_queue root,
                                    const repliq_replication_options *options,
                                    repliq_replication **replication);

/**
 * Adds a target and starts its link; returns at once, connected or not. A target of this name that the store
 * knows from before goes on where it was.
 *
 * `url` is repliq://user@host:port, with /queue where the queue at the target has another name than the root,
 * or repliq+unix:///path. The options hold the password, at least.
 *
 * Fails with REPLIQ_INVALID (also without a user or a password), REPLIQ_EXISTS (the name is in use), REPLIQ_TOO_LARGE,
 * REPLIQ_CERTIFICATE (`ca_file` holds none), REPLIQ_UNSUPPORTED, REPLIQ_CLOSED. What the server refuses is told by
 * repliq_replication_target and repliq_replication_status.
 */
repliq_code repliq_replication_add(repliq_replication *replication,
                                   const char *name,
                                   const char *url,
                                   const repliq_target_options *options);

/**
 * Ends a target for good: it gets nothing more, and messages only it waited for may go.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME, REPLIQ_CLOSED.
 */
repliq_code repliq_replication_remove(repliq_replication *replication, const char *name);

/**
 * Sets the transaction aside that a target refuses, for this target only. It is counted on both sides.
 *
 * Fails with REPLIQ_INVALID (it refuses nothing), REPLIQ_NO_SUCH_NAME, REPLIQ_CLOSED.
 */
repliq_code repliq_replication_skip(repliq_replication *replication, const char *name);

/**
 * Lets a target go on that is behind what is still kept. What it misses is recorded on both sides.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME, REPLIQ_CLOSED.
 */
repliq_code repliq_replication_accept_gap(repliq_replication *replication, const char *name);

/**
 * Sends a message of a kind: into the open job, or as a transaction of its own that is as durable as asked when
 * the call returns, whether a target is connected or not.
 *
 * The bytes are copied; NULL with a `len` of 0 is an empty payload.
 *
 * Fails as repliq_store_put does.
 */
repliq_code repliq_replication_send(repliq_replication *replication,
                                    uint16_t kind,
                                    const void *payload,
                                    size_t len);

/**
 * Sends `n` messages, all or none; see repliq_replication_send.
 *
 * The bytes are copied. `result` may be NULL; in a job its token is empty, and the one of the end of the job
 * counts.
 *
 * Fails as repliq_store_put does.
 */
repliq_code repliq_replication_send_many(repliq_replication *replication,
                                         const repliq_message *messages,
                                         size_t n,
                                         repliq_result *result);

/**
 * Begins a job: what is sent from now on is one transaction, invisible until its end.
 *
 * Fails with REPLIQ_EXISTS (a job is open), REPLIQ_CLOSED.
 */
repliq_code repliq_replication_start_job(repliq_replication *replication);

/**
 * Commits the job. Every target gets it as a whole.
 *
 * `result` may be NULL.
 *
 * Fails with REPLIQ_INVALID (no job is open), or as repliq_session_commit does; the job is over in any case.
 */
repliq_code repliq_replication_end_job(repliq_replication *replication, repliq_result *result);

/**
 * Gives the job up: nothing sent since its start is left.
 *
 * Fails with REPLIQ_INVALID (no job is open), REPLIQ_CLOSED.
 */
repliq_code repliq_replication_abort_job(repliq_replication *replication);

/**
 * Sees to it that everything committed goes out now. It does so by itself; this is for those used to asking.
 *
 * Fails with REPLIQ_CLOSED.
 */
repliq_code repliq_replication_push(repliq_replication *replication);

/**
 * Writes root, targets and whether a job is open, as JSON, to `text`, which has room for `size` bytes, and the
 * length of the whole to `*len`.
 *
 * Like snprintf: where `*len` is not less than `size`, the text was cut; a `size` of 0 with a `text` of NULL
 * only asks for the length. Otherwise `len` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (size), REPLIQ_CLOSED.
 */
repliq_code repliq_replication_status(repliq_replication *replication,
                                      char *text,
                                      size_t size,
                                      size_t *len);

/**
 * Stores in `*status` how the target of this name is. Thread-safe.
 *
 * Fails with REPLIQ_INVALID (NULL, unknown size), REPLIQ_NO_SUCH_NAME, REPLIQ_CLOSED.
 */
repliq_code repliq_replication_target(repliq_replication *replication,
                                      const char *name,
                                      repliq_target_status *status);

/**
 * Waits until every target has everything that is committed now, at most `timeout_ms`, and ends the links. The
 * handle still wants to be closed.
 *
 * Fails with REPLIQ_TIMEOUT (the rest goes out when the root is replicated again), REPLIQ_CLOSED.
 */
repliq_code repliq_replication_stop(repliq_replication *replication,
                                    uint64_t timeout_ms);

/**
 * Ends the links at once and closes a replication; an open job is rolled back. What the targets lack goes out
 * when the root is replicated again. NULL is fine.
 *
 * Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from a callback of a call on the replication).
 */
repliq_code repliq_replication_close(repliq_replication *replication);

/**
 * Serves a store to others and stores the server in `*server`.
 *
 * The options say at least whether it speaks TLS or plain TCP, and who its users are. Close with
 * repliq_server_close, before or after the store.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_LOCKED (an address is in use), REPLIQ_CERTIFICATE, REPLIQ_NO_SUCH_NAME (no
 * users file), REPLIQ_PERMISSION, REPLIQ_CLOSED.
 */
repliq_code repliq_server_open(repliq_store *store,
                               const repliq_server_options *options,
                               repliq_server **server);

/**
 * Writes who is connected and what came of strangers, as JSON, to `text`, which has room for `size` bytes, and
 * the length of the whole to `*len`.
 *
 * Like snprintf: where `*len` is not less than `size`, the text was cut; a `size` of 0 with a `text` of NULL
 * only asks for the length. Otherwise `len` may be NULL. Thread-safe.
 *
 * Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (size), REPLIQ_CLOSED.
 */
repliq_code repliq_server_status(repliq_server *server,
                                 char *text,
                                 size_t size,
                                 size_t *len);

/**
 * Reads users, certificate and key again. Users that were removed or changed are cut off at once; what cannot
 * be read leaves everything as it was. Thread-safe.
 *
 * Fails with REPLIQ_NO_SUCH_NAME, REPLIQ_PERMISSION, REPLIQ_INVALID, REPLIQ_CERTIFICATE, REPLIQ_CLOSED.
 */
repliq_code repliq_server_reload(repliq_server *server);

/**
 * Tells every client goodbye and gives the addresses free. The store stays open. NULL is fine.
 *
 * Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from a callback of a call on the server).
 */
repliq_code repliq_server_close(repliq_server *server);

/** Sets up a repliq_error: `repliq_error value = REPLIQ_ERROR;`. */
#define REPLIQ_ERROR {sizeof(repliq_error), 0, 0, 0, 0, 0, 0, 0, {0}}

/** Sets up a repliq_store_options: `repliq_store_options value = REPLIQ_STORE_OPTIONS;`. */
#define REPLIQ_STORE_OPTIONS {sizeof(repliq_store_options), 0, 0, {0, 0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** Sets up a repliq_message: `repliq_message value = REPLIQ_MESSAGE;`. */
#define REPLIQ_MESSAGE {{0, 0}, {0, 0}, 0, 0, {0, 0}, 0, 0, 0, 0, 0, {0}, 0, 0, 0, 0}

/** Sets up a repliq_put_options: `repliq_put_options value = REPLIQ_PUT_OPTIONS;`. */
#define REPLIQ_PUT_OPTIONS {sizeof(repliq_put_options), 0, 0}

/** Sets up a repliq_session_options: `repliq_session_options value = REPLIQ_SESSION_OPTIONS;`. */
#define REPLIQ_SESSION_OPTIONS {sizeof(repliq_session_options), 0, 0, 0, 0, 0, 0}

/** Sets up a repliq_consumer_options: `repliq_consumer_options value = REPLIQ_CONSUMER_OPTIONS;`. */
#define REPLIQ_CONSUMER_OPTIONS {sizeof(repliq_consumer_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** Sets up a repliq_listener_options: `repliq_listener_options value = REPLIQ_LISTENER_OPTIONS;`. */
#define REPLIQ_LISTENER_OPTIONS {sizeof(repliq_listener_options), 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** Sets up a repliq_replication_options: `repliq_replication_options value = REPLIQ_REPLICATION_OPTIONS;`. */
#define REPLIQ_REPLICATION_OPTIONS {sizeof(repliq_replication_options), 0, 0}

/** Sets up a repliq_target_options: `repliq_target_options value = REPLIQ_TARGET_OPTIONS;`. */
#define REPLIQ_TARGET_OPTIONS {sizeof(repliq_target_options), 0, 0, 0, 0, {0, 0}, 0, 0, 0, 0, {0, 0}, 0, 0, 0, 0, 0, 0, 0}

/** Sets up a repliq_target_status: `repliq_target_status value = REPLIQ_TARGET_STATUS;`. */
#define REPLIQ_TARGET_STATUS {sizeof(repliq_target_status), 0, 0, 0, 0, 0, 0, 0, 0, {0}}

/** Sets up a repliq_server_options: `repliq_server_options value = REPLIQ_SERVER_OPTIONS;`. */
#define REPLIQ_SERVER_OPTIONS {sizeof(repliq_server_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** The bytes of a text that ends with a NUL, without it. */
static inline repliq_bytes repliq_text(const char *text)
{
    repliq_bytes bytes = {0, 0};
    if (text != NULL) {
        bytes.data = text;
        bytes.len = strlen(text);
    }
    return bytes;
}

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* REPLIQ_H */
