/*
 * Tutorial one: a server that greets, sleeps and echoes.
 *
 * Usage: hello_world [DIRECTORY [ADDRESS]]
 *
 * Requests arrive from any sender of the tutorial in the queue hw_root_queue_name, or Tolocal, and each is worked
 * on once it is durable here. The answer goes into the queue "replies" in the same transaction that acknowledges the
 * request, so it is there exactly once; what is printed may be printed twice when the server is killed in between.
 */
#include <repliq.h>

#include <stdio.h>
#include <time.h>

#include "pack.h"

enum { SAY_HELLO = 0x2002, SLEEP = 0x2003, ECHO = 0x2004 };

/* Says what went wrong with the call before. */
static int fail(const char *what)
{
    repliq_error error = REPLIQ_ERROR;
    repliq_error_last(&error);
    fprintf(stderr, "hello_world: %s: %s: %s\n", what, repliq_code_name(error.code), error.text);
    return 1;
}

/* Does what a request asks, and writes the reply. Answers 0 for a request that makes no sense. */
static int work(const repliq_message *request, char *reply, size_t size)
{
    unpacker arguments = {0, 0, 0};
    arguments.at = (const unsigned char *)request->payload.data;
    arguments.left = request->payload.len;
    if (request->kind == SAY_HELLO) {
        char first[256], last[256];
        if (!unpack_string(&arguments, first, sizeof first) || first[0] == 0)
            return 0;
        unpack_string(&arguments, last, sizeof last);
        snprintf(reply, size, "Hello %s %s", first, last);
    } else if (request->kind == SLEEP) {
        int32_t ms = unpack_i32(&arguments);
        struct timespec time = {0, 0};
        if (arguments.failed || ms < 0)
            return 0;
        time.tv_sec = ms / 1000;
        time.tv_nsec = ms % 1000 * 1000000L;
        nanosleep(&time, NULL);
        snprintf(reply, size, "Sleep %ld", (long)ms);
    } else if (request->kind == ECHO) {
        unpack_eleven(&arguments, reply, size);
    } else {
        return 0;
    }
    return !arguments.failed && arguments.left == 0;
}

/* ANCHOR: handle */
/* `user` is the queue the replies go to. */
static int32_t handle(void *user, repliq_session *session, const repliq_message *requests, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        char text[1024];
        repliq_message reply = REPLIQ_MESSAGE;
        if (!work(&requests[i], text, sizeof text))
            return REPLIQ_RETRY;
        printf("%s\n", text);
        fflush(stdout);
        reply.payload = repliq_text(text);
        if (repliq_session_put(session, *(const repliq_queue *)user, &reply, 1))
            return REPLIQ_RETRY;
    }
    return REPLIQ_HANDLED;
}
/* ANCHOR_END: handle */

int main(int argc, char **argv)
{
    static const char *const queues[2] = {"hw_root_queue_name", "Tolocal"};
    const char *directory = argc > 1 ? argv[1] : "hello_world_store";
    const char *address = argc > 2 ? argv[2] : "127.0.0.1:20901";
    repliq_user users[2] = {
        {"replication", {0, 0}, "replicate", "hw_root_queue_name,Tolocal"},
        {"remote_rep", {0, 0}, "replicate", "hw_root_queue_name,Tolocal"},
    };
    repliq_listener_options errors = REPLIQ_LISTENER_OPTIONS;
    repliq_server_options options = REPLIQ_SERVER_OPTIONS;
    repliq_store *store;
    repliq_server *server;
    repliq_listener *listeners[2];
    repliq_queue replies;
    int i;

    if (repliq_store_open(directory, NULL, &store) || repliq_store_queue(store, "replies", &replies))
        return fail("cannot open the store");
    /* ANCHOR: listen */
    /* What fails three times goes to the queue "errors", and those behind it go on. */
    errors.policy = REPLIQ_POLICY_DEAD_LETTER;
    errors.dead_letter_after = 3;
    errors.dead_letter_queue = "errors";
    errors.retry_ms = 10;
    for (i = 0; i < 2; i++) {
        repliq_queue requests;
        repliq_consumer *consumer;
        if (repliq_store_queue(store, queues[i], &requests)
            || repliq_consumer_open(store, "hello_world", requests, NULL, &consumer)
            || repliq_listener_open(consumer, handle, &replies, &errors, &listeners[i]))
            return fail("cannot listen to a queue");
    }
    /* ANCHOR_END: listen */
    /* ANCHOR: serve */
    users[0].password = repliq_text("p4localhost");
    users[1].password = repliq_text("PassOne");
    options.listen = &address;
    options.listen_count = 1;
    options.plain = REPLIQ_YES;
    options.users = users;
    options.user_count = 2;
    if (repliq_server_open(store, &options, &server))
        return fail("cannot serve");
    /* ANCHOR_END: serve */
    printf("listening on %s, press Enter to end\n", address);
    fflush(stdout);
    /* The end of the input ends the server, too. */
    getchar();
    repliq_server_close(server);
    repliq_listener_close(listeners[0]);
    repliq_listener_close(listeners[1]);
    return repliq_store_close(store) ? fail("cannot close the store") : 0;
}
