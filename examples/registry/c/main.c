/*
 * The registry tutorial: changes of a public registry are worked on by sixteen workers, those of one record in order,
 * and each is acknowledged by the commit of its work.
 *
 * Usage: registry [DIRECTORY [RECORDS [FILE...]]]
 *
 * The files are those of the Debian package ieee-data: a record a line, its key in the second column; RECORDS is how many
 * are taken, 0 for all. Each becomes a notice in the queue `feed`, and some that must not matter are thrown in: notices
 * that come twice, versions that are out of date, and a few that nobody can read. A worker builds what a notice asks for
 * in 10 ms and puts it into the queue `replica`. Every second one of them dies in the middle of it, and for a while what
 * they build for is down. At the end the replica is what one worker alone would have made. Stop the program wherever
 * you like and run it again: it goes on.
 */
#include <repliq.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 16, BUILD_MS = 10, PAGE = 1000 };
/* When what the workers build for is down, behind the start. */
enum { DOWN_FROM_MS = 500, DOWN_TO_MS = 1500 };

/* The key of a record, and what is to be done with it: a version, a blank and the record. */
struct notice {
    repliq_bytes key, payload;
};

struct notices {
    struct notice *at;
    size_t count, room;
};

/* What is known of a key. */
struct row {
    repliq_bytes key, expected;
    long version, made; /* the last of the feed; the one that the replica has */
    int is_expected;
};

/* What the workers share. */
static struct {
    repliq_store *store;
    repliq_queue feed, replica, dead;
    struct row *rows; /* by key */
    size_t row_count;
    struct timespec begun;
    pthread_mutex_t mutex;
    atomic_bool kill, over, failed;
    atomic_long done, known, in_flight, retried, killed;
} shop = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static repliq_code fail(void)
{
    repliq_error error = REPLIQ_ERROR;
    repliq_error_last(&error);
    fprintf(stderr, "registry: %s: %s\n", repliq_code_name(error.code), error.text);
    return error.code;
}

/* Gets memory, or ends the program. */
static void *more(void *old, size_t size)
{
    void *made = realloc(old, size);
    if (!made) {
        fprintf(stderr, "registry: no memory\n");
        exit(1);
    }
    return made;
}

static void add(struct notices *to, repliq_bytes key, const void *payload, size_t len)
{
    struct notice one = {key, {more(NULL, len + 1), len}};
    memcpy((void *)one.payload.data, payload, len);
    if (to->count == to->room) {
        to->room = to->room ? 2 * to->room : 1024;
        to->at = more(to->at, to->room * sizeof *to->at);
    }
    to->at[to->count++] = one;
}

/* Adds the records of a file: quotes may hold commas and ends of lines, and the first line is the title. */
static int read_records(const char *file, struct notices *to)
{
    FILE *in = fopen(file, "rb");
    char *text = NULL, *key, *comma;
    size_t len = 0, read, at, start = 0, end, lines = 0;
    int quoted = 0;
    if (!in) {
        perror(file);
        return 1;
    }
    do {
        text = more(text, len + 65536);
        read = fread(text + len, 1, 65536, in);
        len += read;
    } while (read > 0);
    fclose(in);
    for (at = 0; at < len; at++) {
        quoted ^= text[at] == '"';
        if (text[at] != '\n' || quoted)
            continue;
        for (end = at; end > start && strchr(" \t\r\n\f", text[end - 1]); end--)
            ;
        key = memchr(text + start, ',', end - start);
        key = key ? key + 1 : text + end;
        comma = memchr(key, ',', (size_t)(text + end - key));
        if (lines++ > 0)
            add(to, (repliq_bytes){key, (size_t)((comma ? comma : text + end) - key)}, text + start, end - start);
        start = at + 1;
    }
    return 0; /* the keys stay in the text */
}

static int compare(repliq_bytes a, repliq_bytes b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_rows(const void *a, const void *b)
{
    return compare(((const struct row *)a)->key, ((const struct row *)b)->key);
}

/* What is known of a key; NULL for one that no record has. */
static struct row *row_of(repliq_bytes key)
{
    struct row wanted = {.key = key};
    return bsearch(&wanted, shop.rows, shop.row_count, sizeof wanted, compare_rows);
}

static void make_rows(const struct notices *records)
{
    size_t at, last = 0;
    shop.rows = more(NULL, records->count * sizeof *shop.rows);
    for (at = 0; at < records->count; at++)
        shop.rows[at] = (struct row){.key = records->at[at].key};
    qsort(shop.rows, records->count, sizeof *shop.rows, compare_rows);
    for (at = 1; at < records->count; at++)
        if (compare_rows(&shop.rows[last], &shop.rows[at]))
            shop.rows[++last] = shop.rows[at];
    shop.row_count = last + 1;
}

/* Notices of all records, with what must not matter thrown in; the rows learn what the replica is in the end. */
static void make_notices(const struct notices *records, struct notices *to)
{
    char *text = NULL, old[48];
    size_t at;
    for (at = 0; at < records->count; at++) {
        const struct notice *record = &records->at[at];
        struct row *row = row_of(record->key);
        int len;
        row->version += 2;
        text = more(text, record->payload.len + 32);
        len = sprintf(text, "%ld ", row->version);
        memcpy(text + len, record->payload.data, record->payload.len);
        add(to, record->key, text, (size_t)len + record->payload.len);
        row->expected = to->at[to->count - 1].payload;
        if (at % 5 == 0)
            add(to, record->key, text, (size_t)len + record->payload.len);
        if (at % 7 == 0)
            add(to, record->key, old, (size_t)sprintf(old, "%ld out of date", row->version - 1));
        if (at % 400 == 399)
            add(to, record->key, "damaged", 7);
    }
    free(text);
}

/* The version at the beginning of a payload; 0 where there is none. */
static long version_of(repliq_bytes payload)
{
    const char *text = payload.data;
    long version = 0;
    size_t at;
    for (at = 0; at < payload.len && text[at] >= '0' && text[at] <= '9' && at < 18; at++)
        version = 10 * version + (text[at] - '0');
    return at < payload.len && text[at] == ' ' ? version : 0;
}

/* ANCHOR: feed */
static repliq_message message_of(const struct notices *notices, size_t at)
{
    repliq_message message = REPLIQ_MESSAGE;
    message.key = notices->at[at].key;
    message.payload = notices->at[at].payload;
    message.producer = repliq_text("registry");
    message.producer_sequence = at + 1;
    return message;
}

/* Puts all notices in one transaction; or none, where an earlier run did it, which the producer's numbers tell. */
static repliq_code feed_all(const struct notices *notices, repliq_result *result)
{
    repliq_session *session;
    repliq_message message = message_of(notices, notices->count - 1);
    repliq_code code = repliq_store_put(shop.store, shop.feed, &message, 1, NULL, result);
    size_t at;
    /* Where it is there already nothing was put, and this is the token of then. */
    if (code != REPLIQ_OUT_OF_ORDER)
        return code;
    code = repliq_session_open(shop.store, NULL, &session);
    for (at = 0; at < notices->count && !code; at++) {
        message = message_of(notices, at);
        code = repliq_session_put(session, shop.feed, &message, 1);
    }
    if (!code)
        code = repliq_session_commit(session, result);
    return code ? code : repliq_session_close(session);
}
/* ANCHOR_END: feed */

/* ANCHOR: consumer */
/* A worker's consumer: it shares its place in the feed with the others, and one key is worked on at a time. */
static repliq_code open_consumer(repliq_consumer **consumer)
{
    repliq_consumer_options options = REPLIQ_CONSUMER_OPTIONS;
    options.shared = REPLIQ_YES;
    options.keyed = REPLIQ_YES;
    options.retry_delay_ms = 50;
    options.retry_multiplier = 2;
    options.retry_delay_ms_max = 500;
    options.max_deliveries = 20;
    options.dead_letters = shop.dead;
    return repliq_consumer_open(shop.store, "worker", shop.feed, &options, consumer);
}
/* ANCHOR_END: consumer */

static void sleep_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Milliseconds since the start. */
static long since_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - shop.begun.tv_sec) * 1000 + (now.tv_nsec - shop.begun.tv_nsec) / 1000000;
}

/* The version that the replica has of a key; with another argument than 0 it is that from now on. */
static long has(repliq_bytes key, long version)
{
    struct row *row = row_of(key);
    long known = 0;
    pthread_mutex_lock(&shop.mutex);
    if (row && version)
        row->made = version;
    if (row)
        known = row->made;
    pthread_mutex_unlock(&shop.mutex);
    return known;
}

/* ANCHOR: work */
/* Gives a notice back, for later; after twenty times it is a dead letter, with the reason. */
static repliq_code give_back(repliq_consumer *consumer, repliq_session *session, const repliq_message *notice,
                             uint64_t delay_ms, const char *reason)
{
    repliq_code code = repliq_consumer_reject(consumer, &notice->sequence, 1, delay_ms, reason);
    atomic_fetch_add(&shop.retried, 1);
    return code ? code : repliq_session_rollback(session);
}

/* Works on one notice; *lives is 0 where the worker dies in the middle of it. */
static repliq_code work_on(repliq_consumer *consumer, repliq_session *session, const repliq_message *notice, int *lives)
{
    repliq_message made = REPLIQ_MESSAGE;
    repliq_code code;
    long version = version_of(notice->payload);
    if (version == 0)
        return give_back(consumer, session, notice, 1, "this is no notice");
    if (version <= has(notice->key, 0)) {
        /* Already processed, or out of date: nothing to do, and so it is done. */
        atomic_fetch_add(&shop.known, 1);
        return repliq_session_commit(session, NULL);
    }
    sleep_ms(BUILD_MS);
    if (atomic_exchange(&shop.kill, 0)) {
        atomic_fetch_add(&shop.killed, 1);
        *lives = 0;
        return REPLIQ_OK;
    }
    if (since_ms() >= DOWN_FROM_MS && since_ms() < DOWN_TO_MS)
        return give_back(consumer, session, notice, 0, "the replica is down");
    made.key = notice->key;
    made.payload = notice->payload;
    code = repliq_session_put(session, shop.replica, &made, 1);
    /* Nobody else looks at this key before the commit: until then it is this worker's. */
    has(notice->key, version);
    if (!code)
        code = repliq_session_commit(session, NULL);
    atomic_fetch_add(&shop.done, 1);
    return code;
}
/* ANCHOR_END: work */

/* Works until there is nothing more to do, or until it dies. */
static repliq_code work(void)
{
    repliq_consumer *consumer = NULL;
    repliq_session *session = NULL;
    repliq_message notice;
    size_t n = 0;
    int lives = 1;
    repliq_code code = open_consumer(&consumer);
    if (!code)
        code = repliq_session_open(shop.store, NULL, &session);
    while (!code && lives && !shop.over) {
        code = repliq_session_receive(session, consumer, &notice, 1, 100, &n);
        if (code || n == 0)
            continue;
        atomic_fetch_add(&shop.in_flight, 1);
        code = work_on(consumer, session, &notice, &lives);
        atomic_fetch_sub(&shop.in_flight, 1);
    }
    /* What a worker has when it dies goes to the others, as its session and its consumer are closed. */
    if (code)
        return fail();
    code = repliq_session_close(session);
    return code ? code : repliq_consumer_close(consumer);
}

/* Works, and when the worker has died another takes its place. */
static void *run(void *unused)
{
    while (!shop.over)
        if (work())
            shop.failed = shop.over = 1;
    return unused;
}

/* Calls `see` with all that is in a queue, in order, and counts it. */
static repliq_code each(repliq_queue queue, void (*see)(const repliq_message *, void *), void *user, size_t *count)
{
    repliq_message *page = more(NULL, PAGE * sizeof *page);
    repliq_snapshot *snapshot;
    uint64_t next = 1;
    size_t n, at;
    repliq_code code = repliq_snapshot_open(shop.store, &snapshot);
    for (*count = 0; !code; *count += n) {
        code = repliq_snapshot_browse(snapshot, queue, next, page, PAGE, &n);
        if (code || n == 0)
            break;
        for (at = 0; at < n; at++)
            see(&page[at], user);
        next = page[n - 1].sequence + 1;
    }
    free(page);
    return code ? code : repliq_snapshot_close(snapshot);
}

/* What an earlier run has done counts. */
static void see_made(const repliq_message *one, void *unused)
{
    (void)unused;
    has(one->key, version_of(one->payload));
}

/* Kills a worker a second until all is done, and shows a line of the table, which only a terminal gets. */
static repliq_code wait_for(const repliq_token *token)
{
    repliq_message *page = more(NULL, PAGE * sizeof *page);
    repliq_consumer *undertaker;
    size_t n, letters = 0;
    long before = 0, last = 0, now, through;
    int turn;
    repliq_code code = repliq_consumer_open(shop.store, "undertaker", shop.dead, NULL, &undertaker);
    if (!code)
        code = REPLIQ_TIMEOUT;
    for (turn = 1; code == REPLIQ_TIMEOUT && !shop.over; turn++) {
        sleep_ms(250);
        code = repliq_consumer_receive(undertaker, page, PAGE, 0, &n);
        if (code)
            break;
        letters += n;
        through = shop.done + shop.known;
        now = since_ms();
        if (isatty(STDOUT_FILENO)) {
            printf("\rdone %7ld   %6.0f/s   in flight %2ld   retried %5ld   dead %4zu   killed %3ld", through,
                   (double)(through - before) * 1000 / (double)(now - last + 1), shop.in_flight, shop.retried, letters,
                   shop.killed);
            fflush(stdout);
        }
        before = through;
        last = now;
        if (turn % 4 == 0)
            shop.kill = 1;
        code = repliq_store_wait(shop.store, "consumer:worker", token, 1, 0);
    }
    free(page);
    if (code)
        return shop.failed ? code : fail();
    return repliq_consumer_close(undertaker);
}

static void compare_made(const repliq_message *one, void *wrong)
{
    struct row *row = row_of(one->key);
    long version = version_of(one->payload);
    if (!row || version <= row->made) {
        ++*(long *)wrong;
        return;
    }
    row->made = version;
    row->is_expected = compare(one->payload, row->expected) == 0;
}

static void ignore(const repliq_message *one, void *unused)
{
    (void)one, (void)unused;
}

/* Says what was done, and looks whether the replica is what one worker alone would have made. */
static int report(const struct notices *notices)
{
    double seconds = (double)since_ms() / 1000;
    long wrong = 0;
    size_t at, made, dead;
    if (isatty(STDOUT_FILENO))
        printf("\n");
    printf("%ld built and %ld already processed in %.1f s, %ld retried, %ld workers killed\n", shop.done, shop.known,
           seconds, shop.retried, shop.killed);
    for (at = 0; at < shop.row_count; at++)
        shop.rows[at].made = 0;
    if (each(shop.replica, compare_made, &wrong, &made) || each(shop.dead, ignore, NULL, &dead))
        return fail();
    printf("%zu notices of %zu records, %zu dead letters\n", notices->count, shop.row_count, dead);
    for (at = 0; at < shop.row_count && shop.rows[at].is_expected; at++)
        ;
    if (wrong > 0 || at < shop.row_count) {
        fprintf(stderr, "the replica differs, and %ld came out of order\n", wrong);
        return 1;
    }
    printf("the replica is what one worker alone would have made\n");
    return 0;
}

static int read_files(int argc, char **argv, struct notices *records)
{
    static const char *const files[] = {"iab", "mam", "oui", "oui36"};
    char path[64];
    size_t at, count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    int file;
    for (at = 0; argc <= 3 && at < 4; at++) {
        snprintf(path, sizeof path, "/usr/share/ieee-data/%s.csv", files[at]);
        if (read_records(path, records))
            return 1;
    }
    for (file = 3; file < argc; file++)
        if (read_records(argv[file], records))
            return 1;
    if (count > 0 && count < records->count)
        records->count = count;
    if (records->count == 0)
        fprintf(stderr, "registry: there are no records in the files\n");
    return records->count == 0;
}

int main(int argc, char **argv)
{
    struct notices records = {0}, notices = {0};
    pthread_t threads[WORKERS];
    repliq_consumer *first;
    repliq_result fed;
    size_t made;
    int worker, failed;

    if (read_files(argc, argv, &records))
        return 1;
    make_rows(&records);
    make_notices(&records, &notices);
    clock_gettime(CLOCK_MONOTONIC, &shop.begun);
    if (repliq_store_open(argc > 1 ? argv[1] : "registry_store", NULL, &shop.store)
        || repliq_store_queue(shop.store, "feed", &shop.feed)
        || repliq_store_queue(shop.store, "replica", &shop.replica)
        || repliq_store_queue(shop.store, "dead", &shop.dead)
        || each(shop.replica, see_made, NULL, &made)
        || open_consumer(&first)
        || feed_all(&notices, &fed)) {
        fail();
        return 1;
    }
    for (worker = 0; worker < WORKERS; worker++)
        if (pthread_create(&threads[worker], NULL, run, NULL))
            return 1;
    failed = wait_for(&fed.token) != REPLIQ_OK;
    shop.over = 1;
    for (worker = 0; worker < WORKERS; worker++)
        pthread_join(threads[worker], NULL);
    if (failed || shop.failed || report(&notices))
        return 1;
    if (repliq_consumer_close(first) || repliq_store_close(shop.store)) {
        fail();
        return 1;
    }
    return 0;
}
