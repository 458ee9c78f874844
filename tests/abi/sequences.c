/*
 * Any calls in any order with any handles (T10): live ones, closed ones, those of another kind, numbers that never were
 * handles, NULL. With one thread it knows which is which: a handle that is none must be called so. With more of them
 * anything but a crash, a panic or damage may come back.
 *
 * Usage: sequences FOLDER SEED STEPS THREADS
 */
#include <pthread.h>
#include <repliq.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { STORE, CONSUMER, SESSION, SNAPSHOT, PORT, REPLICATION, KINDS };
enum { POOL = 48, MESSAGES = 4, CALLS = 34 };

/* A handle somebody has; `kind` is KINDS where it is none, and `open` says whether it was closed. */
struct entry {
    _Atomic(void *) handle;
    _Atomic int kind;
    _Atomic int open;
};

static struct entry pool[POOL];
static char paths[3][512];
/* Identities of transactions that sessions told; whoever reads one that is being written asks about another. */
static repliq_transaction_id told[4];
static long steps;
static int threads;
static _Atomic unsigned long counts[64];
static _Atomic unsigned long refused;

static uint64_t next(uint64_t *random)
{
    uint64_t x = *random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *random = x;
    return x * UINT64_C(0x2545f4914f6cdd1d) >> 11;
}

static void fail(const char *what, int call, repliq_code code)
{
    repliq_error error = REPLIQ_ERROR;
    repliq_error_last(&error);
    printf("FAILED call %d: %s: %s: %s\n", call, what, repliq_code_name(code), error.text);
    exit(1);
}

static struct entry *pick(uint64_t *random)
{
    return &pool[next(random) % POOL];
}

/* What a call must say to this handle: OK for anything. */
static repliq_code owed(const struct entry *entry, enum kind kind)
{
    if (threads > 1)
        return REPLIQ_OK;
    if (!entry->handle)
        return REPLIQ_INVALID;
    return entry->kind == (int)kind && entry->open ? REPLIQ_OK : REPLIQ_BAD_HANDLE;
}

static void keep(uint64_t *random, void *handle, enum kind kind)
{
    struct entry *entry = pick(random);
    /* Whoever was there is forgotten, open or not: so are handles of a careless program. Its store is closed. */
    if (threads == 1 && entry->open && entry->kind == STORE)
        repliq_store_close(entry->handle);
    entry->open = 0;
    entry->kind = kind;
    entry->handle = handle;
    entry->open = 1;
}

static void look(const repliq_message *messages, size_t n)
{
    static _Atomic unsigned long sum;
    size_t at, byte;
    /* Another thread may have received with the same handle meanwhile, which ends what these point to. */
    for (at = 0; threads == 1 && at < n; at++)
        for (byte = 0; byte < messages[at].payload.len; byte++)
            sum += ((const unsigned char *)messages[at].payload.data)[byte];
}

static repliq_code other_call(uint64_t *random, int call, void *handle, enum kind *kind);

static repliq_code call_store(uint64_t *random, int call, void *handle)
{
    static const char *const names[] = {"q", "r", "", "a/b", "\xff\xfe", NULL};
    repliq_message messages[MESSAGES] = {REPLIQ_MESSAGE, REPLIQ_MESSAGE, REPLIQ_MESSAGE, REPLIQ_MESSAGE};
    repliq_queue queue = (repliq_queue)(next(random) % 4);
    const char *name = names[next(random) % 6];
    repliq_session_options session = REPLIQ_SESSION_OPTIONS;
    repliq_outcome outcome;
    size_t n = (size_t)(next(random) % (MESSAGES + 1)), at;
    static char bytes[3000];
    repliq_code code;
    void *made = NULL;

    for (at = 0; at < MESSAGES; at++) {
        messages[at].payload.data = next(random) % 9 ? bytes : NULL;
        messages[at].payload.len = (size_t)(next(random) % sizeof bytes);
    }
    switch (call) {
    case 0: return repliq_store_queue(handle, name, &queue);
    case 1: return repliq_store_put(handle, queue, messages, n, NULL, NULL);
    case 2: return repliq_store_put_start(handle, queue, messages, n, pick(random)->handle, next(random) % 8);
    case 3: return repliq_queue_pause(handle, queue, NULL);
    case 4: return repliq_queue_resume(handle, queue, NULL);
    case 5: return repliq_queue_purge(handle, queue, NULL);
    case 6: return next(random) % 8 ? REPLIQ_OK : repliq_queue_delete(handle, queue, NULL);
    case 7:
        session.name = next(random) % 2 ? name : NULL;
        session.takeover = next(random) % 2 ? REPLIQ_YES : REPLIQ_NO;
        if (!(code = repliq_session_open(handle, &session, (repliq_session **)&made)))
            keep(random, made, SESSION);
        return code;
    case 8:
        if (!(code = repliq_consumer_open(handle, name, queue, NULL, (repliq_consumer **)&made)))
            keep(random, made, CONSUMER);
        return code;
    case 9: return repliq_consumer_delete(handle, name, queue, NULL);
    case 10:
        if (!(code = repliq_snapshot_open(handle, (repliq_snapshot **)&made)))
            keep(random, made, SNAPSHOT);
        return code;
    case 11:
        if (!(code = repliq_replication_open(handle, queue, NULL, (repliq_replication **)&made)))
            keep(random, made, REPLICATION);
        return code;
    case 12: return repliq_store_status(handle, bytes, next(random) % 2 ? sizeof bytes : 0, &n);
    default:
        /* What became of a transaction that some session told last: none, before the first did. */
        if (next(random) % 2)
            return repliq_store_resolve(handle, &told[next(random) % 4], &outcome);
        if (next(random) % 4 == 0)
            return repliq_store_finish(handle, &told[next(random) % 4], next(random) % 4, NULL);
        if (next(random) % 4 == 0)
            return repliq_store_prepared(handle, bytes, next(random) % 2 ? sizeof bytes : 0, &n);
        return repliq_store_wait(handle, next(random) % 2 ? "local" : name, NULL, 0, next(random) % 2);
    }
}

static repliq_code call_reader(uint64_t *random, int call, void *handle, enum kind *kind)
{
    repliq_message messages[MESSAGES];
    repliq_event events[MESSAGES];
    repliq_queue queue = (repliq_queue)(next(random) % 4);
    uint64_t sequences[2] = {next(random) % 20, next(random) % 20};
    size_t n = 0;
    int32_t fd;
    repliq_code code;

    switch (call) {
    case 14:
        *kind = CONSUMER;
        if (!(code = repliq_consumer_receive(handle, messages, MESSAGES, next(random) % 2, &n)))
            look(messages, n);
        return code;
    case 15: *kind = CONSUMER; return repliq_consumer_ack(handle, sequences, next(random) % 3, NULL);
    case 16:
        *kind = CONSUMER;
        if (next(random) % 4 == 0)
            return repliq_consumer_reject_to_end(handle, sequences, next(random) % 3, 0, NULL);
        return repliq_consumer_reject(handle, sequences, next(random) % 3, 0, NULL);
    case 17:
        *kind = CONSUMER;
        if (next(random) % 4 == 0)
            return repliq_consumer_watch(handle, pick(random)->handle, next(random) % 8);
        return repliq_consumer_seek(handle, next(random) % 20, NULL);
    case 18:
        *kind = SESSION;
        messages[0] = (repliq_message)REPLIQ_MESSAGE;
        messages[0].payload = repliq_text("in a session");
        return repliq_session_put(handle, queue, messages, 1);
    case 19:
        *kind = SESSION;
        if (!(code = repliq_session_receive(handle, pick(random)->handle, messages, MESSAGES, 0, &n)))
            look(messages, n);
        return code;
    case 20:
        *kind = SESSION;
        if (next(random) % 4 == 0)
            return repliq_session_id(handle, &told[next(random) % 4]);
        if (next(random) % 4 == 0)
            return repliq_session_prepare(handle, "xid", next(random) % 4, &told[next(random) % 4]);
        return repliq_session_commit(handle, NULL);
    case 21: *kind = SESSION; return repliq_session_commit_start(handle, pick(random)->handle, next(random) % 8);
    case 22: *kind = SESSION; return repliq_session_rollback(handle);
    case 23:
        *kind = SNAPSHOT;
        if (!(code = repliq_snapshot_browse(handle, queue, next(random) % 20, messages, MESSAGES, &n)))
            look(messages, n);
        return code;
    case 24: *kind = PORT; return repliq_port_drain(handle, events, MESSAGES, next(random) % 2, &n);
    case 25: *kind = PORT; return repliq_port_fd(handle, &fd);
    case 26: *kind = PORT; return repliq_port_cancel(handle, next(random) % 8);
    default: return other_call(random, call, handle, kind);
    }
}

static repliq_code other_call(uint64_t *random, int call, void *handle, enum kind *kind)
{
    *kind = REPLICATION;
    switch (call) {
    case 27: return repliq_replication_start_job(handle);
    case 28: return repliq_replication_send(handle, 7, "in a job", 8);
    case 29: return repliq_replication_end_job(handle, NULL);
    default: (void)random; return repliq_replication_abort_job(handle);
    }
}

static repliq_code close_one(struct entry *entry, enum kind kind, void *handle)
{
    repliq_code code;
    switch (kind) {
    case STORE: code = repliq_store_close(handle); break;
    case CONSUMER: code = repliq_consumer_close(handle); break;
    case SESSION: code = repliq_session_close(handle); break;
    case SNAPSHOT: code = repliq_snapshot_close(handle); break;
    case PORT: code = repliq_port_close(handle); break;
    default: code = repliq_replication_close(handle); break;
    }
    if (code != REPLIQ_BAD_HANDLE && code != REPLIQ_BUSY && entry->kind == (int)kind)
        entry->open = 0;
    return code;
}

static void open_one(uint64_t *random)
{
    repliq_store_options options = REPLIQ_STORE_OPTIONS;
    void *made = NULL;
    options.helper = next(random) % 2 ? REPLIQ_NO : REPLIQ_YES;
    options.segment_bytes = 65536;
    options.segment_bytes_max = 65536;
    if (next(random) % 4 == 0 && !repliq_port_open((repliq_port **)&made))
        keep(random, made, PORT);
    else if (!repliq_store_open(paths[next(random) % 3], &options, (repliq_store **)&made))
        keep(random, made, STORE);
}

/* The kind of handle that a call wants. */
static enum kind taken_by(int call)
{
    return call < 14 ? STORE : call < 18 ? CONSUMER : call < 23 ? SESSION : call < 24 ? SNAPSHOT : call < 27 ? PORT
         : REPLICATION;
}

/* An open handle of a kind, if there is one. */
static struct entry *fitting(uint64_t *random, enum kind kind)
{
    struct entry *first = pick(random);
    int at;
    for (at = 0; at < POOL; at++) {
        struct entry *entry = &pool[(first - pool + at) % POOL];
        if (entry->open && entry->kind == (int)kind)
            return entry;
    }
    return first;
}

static void step(uint64_t *random)
{
    int call = (int)(next(random) % CALLS);
    struct entry *entry = next(random) % 4 ? fitting(random, taken_by(call)) : pick(random);
    enum kind kind = STORE;
    repliq_code code, must;
    void *handle = entry->handle;

    if (call == 32) {
        open_one(random);
        return;
    }
    if (call == 33) {
        /* A number that may look like a ticket, and is none of ours. */
        struct entry *other = pick(random);
        if (threads == 1 && other->open && other->kind == STORE)
            repliq_store_close(other->handle);
        other->open = 0;
        other->kind = KINDS;
        other->handle = next(random) % 4 ? (void *)(uintptr_t)(next(random) << 20 ^ next(random)) : NULL;
        return;
    }
    if (call == 31) {
        kind = (enum kind)(next(random) % KINDS);
        must = owed(entry, kind);
        code = close_one(entry, kind, handle);
        if (!handle && code == REPLIQ_OK) /* Closing nothing is fine. */
            return;
    } else {
        must = owed(entry, taken_by(call));
        code = call < 14 ? call_store(random, call, handle) : call_reader(random, call, handle, &kind);
    }
    counts[code & 63]++;
    refused += code != REPLIQ_OK;
    if (code == REPLIQ_PANIC || code == REPLIQ_CORRUPT || code == REPLIQ_TAMPERED || code == REPLIQ_POISONED ||
        code == REPLIQ_OUTCOME_UNKNOWN || code == REPLIQ_IO)
        fail("must not happen", call, code);
    /* A call may refuse its other arguments before it looks at the handle. */
    if (must == REPLIQ_BAD_HANDLE && code != REPLIQ_BAD_HANDLE && code != REPLIQ_INVALID && call != 6)
        fail("what is no handle was taken for one", call, code);
}

static void *run(void *seed)
{
    uint64_t random = (uint64_t)(uintptr_t)seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    long done;
    for (done = 0; done < steps; done++)
        step(&random);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t running[8];
    uintptr_t seed;
    int at;

    if (argc != 5)
        return 2;
    seed = (uintptr_t)strtoull(argv[2], NULL, 10);
    steps = atol(argv[3]);
    threads = atoi(argv[4]);
    for (at = 0; at < 3; at++)
        snprintf(paths[at], sizeof paths[at], "%s/store%d", argv[1], at);
    for (at = 0; at < threads; at++)
        if (pthread_create(&running[at], NULL, run, (void *)(seed * 8 + (uintptr_t)at)))
            return 3;
    for (at = 0; at < threads; at++)
        pthread_join(running[at], NULL);
    for (at = 0; at < POOL; at++) {
        int kind;
        for (kind = CONSUMER; kind < KINDS; kind++)
            close_one(&pool[at], (enum kind)kind, pool[at].handle);
    }
    for (at = 0; at < POOL; at++)
        close_one(&pool[at], STORE, pool[at].handle);
    printf("%lu calls were refused, %lu were fine, %lu met no handle\n", (unsigned long)refused,
           (unsigned long)counts[0], (unsigned long)counts[REPLIQ_BAD_HANDLE & 63]);
    return 0;
}
