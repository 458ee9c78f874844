/*
 * What a call from C costs: the least time of one call, over many rounds, of functions that do little themselves.
 * call.rs measures the same calls of Rust; scripts/bench-call.sh runs both in turn.
 *
 * Usage: call FOLDER       FOLDER is empty; prints `NAME NANOSECONDS` a line
 */
#include <repliq.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 300, CALLS = 1000 };

static repliq_store *store;
static repliq_session *session;
static repliq_port *port;
static repliq_queue queue;
static repliq_message message = REPLIQ_MESSAGE;

static void must(repliq_code code)
{
    repliq_error error = REPLIQ_ERROR;
    if (code == REPLIQ_OK)
        return;
    repliq_error_last(&error);
    fprintf(stderr, "call: %s\n", error.text);
    exit(1);
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void session_put(void)
{
    must(repliq_session_put(session, queue, &message, 1));
}

static void store_queue(void)
{
    repliq_queue found;
    must(repliq_store_queue(store, "orders", &found));
}

static void port_fd(void)
{
    int32_t fd;
    must(repliq_port_fd(port, &fd));
}

static void measure(const char *name, void (*call)(void))
{
    double least = 1e9;
    int round, i;
    for (round = 0; round < ROUNDS; round++) {
        double began = now_ns(), took;
        for (i = 0; i < CALLS; i++)
            call();
        took = (now_ns() - began) / CALLS;
        least = took < least ? took : least;
        must(repliq_session_rollback(session));
    }
    printf("%s %.1f\n", name, least);
}

int main(int argc, char **argv)
{
    static const char payload[100];
    if (argc != 2) {
        fprintf(stderr, "usage: call FOLDER\n");
        return 2;
    }
    message.payload.data = payload;
    message.payload.len = sizeof payload;
    must(repliq_store_open(argv[1], NULL, &store));
    must(repliq_store_queue(store, "orders", &queue));
    must(repliq_session_open(store, NULL, &session));
    must(repliq_port_open(&port));
    measure("session_put", session_put);
    measure("store_queue", store_queue);
    measure("port_fd", port_fd);
    must(repliq_port_close(port));
    must(repliq_session_close(session));
    must(repliq_store_close(store));
    return 0;
}
