/*
 * Redis streams: XADD with up to `window` requests on the way over one connection; the harness starts the server, whose
 * append-only file is synced before each answer (appendfsync always) or every second.
 *
 * put: one message a request.  multi: `batch` messages in MULTI … EXEC.
 */
#include "contest.h"
#include <hiredis/hiredis.h>

static redisContext *connection;

static void contestant_commit(uint64_t thread)
{
    (void)thread;
}

static const char *contestant_open(void)
{
    connection = redisConnect("127.0.0.1", (int)options.port);
    if (!connection || connection->err)
        fail("connect", connection ? connection->errstr : "no memory");
    return "7.0";
}

static void ask(const char *what)
{
    if (redisAppendCommand(connection, what) != REDIS_OK)
        fail("send", connection->errstr);
}

static void add(void)
{
    if (redisAppendCommand(connection, "XADD queue * p %b", payload, (size_t)options.size) != REDIS_OK)
        fail("send", connection->errstr);
}

static void answer(void)
{
    redisReply *reply;
    if (redisGetReply(connection, (void **)&reply) != REDIS_OK)
        fail("receive", connection->errstr);
    if (reply->type == REDIS_REPLY_ERROR)
        fail("add", reply->str);
    freeReplyObject(reply);
}

static void request(int multi)
{
    if (!multi) {
        add();
        return;
    }
    ask("MULTI");
    for (uint64_t at = 0; at < options.batch; at++)
        add();
    ask("EXEC");
}

static uint64_t run(const struct stint *stint, uint64_t count, int multi, struct times *times)
{
    uint64_t sent = 0, done = 0, answers = multi ? options.batch + 2 : 1;
    uint64_t *starts = calloc(options.window, sizeof *starts);
    int stop = 0;
    while (done < count && !(stop && done == sent)) {
        stop = over(stint);
        while (!stop && sent < count && sent - done < options.window) {
            starts[sent++ % options.window] = now_ns();
            request(multi);
        }
        if (done == sent)
            break;
        for (uint64_t at = 0; at < answers; at++)
            answer();
        times_add(times, now_ns() - starts[done++ % options.window]);
        /* What has arrived already is taken before anything is sent again, so that both ways carry more than one. */
        while (done < sent && connection->reader->pos < connection->reader->len && !multi) {
            answer();
            times_add(times, now_ns() - starts[done++ % options.window]);
        }
    }
    free(starts);
    return done;
}

static void contestant_stint(struct stint *stint)
{
    struct times warm = {NULL, 0, 0}, times = {NULL, 0, 0};
    int multi = !strcmp(options.workload, "multi");
    uint64_t count = multi ? (stint->messages + options.batch - 1) / options.batch : stint->messages, done;
    ask("DEL queue");
    answer();
    run(stint, count / 20 + 1, multi, &warm);
    free(warm.ns);
    begin(stint);
    done = run(stint, count, multi, &times);
    end(stint, multi ? done * options.batch : done, done, &times);
}
