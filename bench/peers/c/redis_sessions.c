/*
 * Redis streams as a transacted session has them: a connection a thread, messages taken for a group, others added and the first
 * ones acknowledged in MULTI … EXEC. The harness starts the server, whose append-only file is synced before each answer.
 *
 * transform: `batch` messages a transaction.  produce: only added.  wake: from an XADD until an XREADGROUP that blocks has the
 * message.
 */
#include "contest.h"
#include <hiredis/hiredis.h>

#define THREADS_MAX 64
/* Requests that fill a stream on the way at once. */
#define FILLING 1000
/* Transactions of a thread before anything counts; all of them may be the first thread's. */
#define WARMING 20
#define IDLE_NS 1000000

static redisContext *connections[THREADS_MAX];

static redisContext *connected(void)
{
    redisContext *connection = redisConnect("127.0.0.1", (int)options.port);
    if (!connection || connection->err)
        fail("connect", connection ? connection->errstr : "no memory");
    return connection;
}

/* The next answer, which is the caller's. */
static redisReply *answer(redisContext *connection)
{
    redisReply *reply;
    if (redisGetReply(connection, (void **)&reply) != REDIS_OK)
        fail("receive", connection->errstr);
    if (reply->type == REDIS_REPLY_ERROR)
        fail("ask", reply->str);
    return reply;
}

static void forget(redisContext *connection, uint64_t answers)
{
    for (uint64_t at = 0; at < answers; at++)
        freeReplyObject(answer(connection));
}

static void sent(redisContext *connection, int code)
{
    if (code != REDIS_OK)
        fail("send", connection->errstr);
}

static int takes(void)
{
    return !strcmp(options.workload, "transform");
}

/* ---- transactions */

/* The messages of an answer to XREADGROUP. */
static redisReply *messages_of(redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1)
        fail("take messages", "they ran out");
    return reply->element[0]->element[1];
}

static void contestant_commit(uint64_t thread)
{
    redisContext *connection = connections[thread];
    int number = (int)thread;
    redisReply *taken = NULL;
    if (takes()) {
        sent(connection, redisAppendCommand(connection, "XREADGROUP GROUP group one COUNT %d STREAMS from-%d >",
                                            (int)options.batch, number));
        taken = answer(connection);
        if (messages_of(taken)->elements != options.batch)
            fail("take messages", "they ran out");
    }
    sent(connection, redisAppendCommand(connection, "MULTI"));
    for (uint64_t at = 0; at < options.batch; at++) {
        const char *value = payload;
        size_t length = options.size;
        if (taken) {
            redisReply *field = messages_of(taken)->element[at]->element[1]->element[1];
            value = field->str;
            length = field->len;
        }
        sent(connection, redisAppendCommand(connection, "XADD to-%d * p %b", number, value, length));
    }
    if (taken) {
        const char **words = calloc(options.batch + 3, sizeof *words);
        char stream[32];
        snprintf(stream, sizeof stream, "from-%d", number);
        words[0] = "XACK";
        words[1] = stream;
        words[2] = "group";
        for (uint64_t at = 0; at < options.batch; at++)
            words[3 + at] = messages_of(taken)->element[at]->element[0]->str;
        sent(connection, redisAppendCommandArgv(connection, (int)options.batch + 3, words, NULL));
        free(words);
    }
    sent(connection, redisAppendCommand(connection, "EXEC"));
    forget(connection, options.batch + (taken ? 3 : 2));
    if (taken)
        freeReplyObject(taken);
}

/* Throws away what the turn before left, and adds what this one takes. */
static void prepare(uint64_t thread, uint64_t count)
{
    redisContext *connection = connections[thread];
    int number = (int)thread;
    sent(connection, redisAppendCommand(connection, "DEL from-%d to-%d", number, number));
    sent(connection, redisAppendCommand(connection, "XGROUP CREATE from-%d group 0 MKSTREAM", number));
    forget(connection, 2);
    for (uint64_t done = 0; done < count && takes(); done += FILLING) {
        uint64_t some = count - done < FILLING ? count - done : FILLING;
        for (uint64_t at = 0; at < some; at++)
            sent(connection, redisAppendCommand(connection, "XADD from-%d * p %b", number, payload, (size_t)options.size));
        forget(connection, some);
    }
}

/* ---- waking up */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t came = PTHREAD_COND_INITIALIZER;
/* When the last message came; 0 once that was seen. */
static uint64_t arrived_ns;

/* Takes messages for as long as the program lives. */
static void *waiter(void *nothing)
{
    redisContext *connection = connected();
    for (;;) {
        sent(connection, redisAppendCommand(connection, "XREADGROUP GROUP group one COUNT 1 BLOCK 0 STREAMS wake >"));
        redisReply *reply = answer(connection);
        uint64_t now = now_ns();
        pthread_mutex_lock(&lock);
        arrived_ns = now;
        pthread_cond_signal(&came);
        pthread_mutex_unlock(&lock);
        sent(connection, redisAppendCommand(connection, "XACK wake group %s", messages_of(reply)->element[0]->element[0]->str));
        forget(connection, 1);
        freeReplyObject(reply);
    }
    return nothing;
}

static uint64_t wake(void)
{
    struct timespec idle = {0, IDLE_NS};
    uint64_t start, arrived;
    nanosleep(&idle, NULL);
    start = now_ns();
    sent(connections[0], redisAppendCommand(connections[0], "XADD wake * p %b", payload, (size_t)options.size));
    forget(connections[0], 1);
    pthread_mutex_lock(&lock);
    while (!arrived_ns)
        pthread_cond_wait(&came, &lock);
    arrived = arrived_ns;
    arrived_ns = 0;
    pthread_mutex_unlock(&lock);
    return arrived - start;
}

static void wakes(struct stint *stint)
{
    struct times times = {NULL, 0, 0};
    uint64_t done = 0;
    for (uint64_t at = 0; at < WARMING; at++)
        wake();
    begin(stint);
    for (; done < stint->messages && !over(stint); done++)
        times_add(&times, wake());
    end(stint, done, done, &times);
}

/* ---- a contestant */

static const char *contestant_open(void)
{
    pthread_t thread;
    if (options.threads > THREADS_MAX)
        fail("open", "there are too many threads");
    for (uint64_t at = 0; at < options.threads; at++)
        connections[at] = connected();
    if (!strcmp(options.workload, "wake")) {
        sent(connections[0], redisAppendCommand(connections[0], "XGROUP CREATE wake group $ MKSTREAM"));
        forget(connections[0], 1);
        if (pthread_create(&thread, NULL, waiter, NULL))
            fail("start a thread", "the system refused");
    }
    return "7.0";
}

static void contestant_stint(struct stint *stint)
{
    uint64_t each = (stint->messages + options.threads * options.batch - 1) / (options.threads * options.batch);
    if (!strcmp(options.workload, "wake")) {
        wakes(stint);
        return;
    }
    for (uint64_t thread = 0; thread < options.threads; thread++)
        prepare(thread, (each + WARMING) * options.batch);
    commits(stint);
}
