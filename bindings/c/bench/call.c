/*
 * What a call from C costs: the least time of one call, over many rounds, of functions that do little themselves.
 * call.rs measures the same calls of Rust; scripts/bench-call.sh runs both in turn.
 *
 * Usage: call FOLDER       FOLDER is empty; prints `NAME NANOSECONDS` a line; `two_puts` are those of two threads at once, each
 *                          with a session of its own
 */
#include <pthread.h>
#include <repliq.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 300, CALLS = 1000 };

static repliq_store *store;
static _Thread_local repliq_session *session;
static repliq_port *port;
static repliq_queue queue;
static repliq_message message = REPLIQ_MESSAGE;

/* By itself, so that the calls that succeed do not clear the room of an error first. */
static void fail(void)
{
    repliq_error error = REPLIQ_ERROR;
    repliq_error_last(&error);
    fprintf(stderr, "call: %s\n", error.text);
    exit(1);
}

static void must(repliq_code code)
{
    if (code != REPLIQ_OK)
        fail();
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

static double measure(void (*call)(void))
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
    return least;
}

static void *two_puts(void *least)
{
    must(repliq_session_open(store, NULL, &session));
    *(double *)least = measure(session_put);
    must(repliq_session_close(session));
    return NULL;
}

static double two(void)
{
    pthread_t threads[2];
    double least[2];
    int i;
    for (i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, two_puts, &least[i])) {
            fprintf(stderr, "call: cannot start a thread\n");
            exit(1);
        }
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return (least[0] + least[1]) / 2;
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
    printf("session_put %.1f\n", measure(session_put));
    printf("store_queue %.1f\n", measure(store_queue));
    printf("port_fd %.1f\n", measure(port_fd));
    printf("two_puts %.1f\n", two());
    must(repliq_port_close(port));
    must(repliq_session_close(session));
    must(repliq_store_close(store));
    return 0;
}
