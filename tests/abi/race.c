/*
 * Threads that use handles while others close them (A2), callbacks that close what calls them, and a forked child.
 *
 * Usage: race FOLDER
 */
#include <pthread.h>
#include <repliq.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            printf("FAILED %s:%d: %s\n", __FILE__, __LINE__, #condition);                                    \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

enum { ROUNDS = 300, USERS = 3 };

static repliq_store *store;
static repliq_queue queue;
/* The handle of the round, read and written without a lock but atomically: tickets are plain numbers. */
static _Atomic(repliq_snapshot *) snapshot;
static _Atomic(repliq_session *) session;
static _Atomic(repliq_port *) port;
static _Atomic int running = 1;
static _Atomic unsigned long good, told;

static void count(repliq_code code)
{
    if (code == REPLIQ_OK)
        good++;
    else if (code == REPLIQ_BAD_HANDLE || code == REPLIQ_BUSY || code == REPLIQ_CLOSED)
        told++;
    else {
        repliq_error error = REPLIQ_ERROR;
        repliq_error_last(&error);
        printf("FAILED %s: %s\n", repliq_code_name(code), error.text);
        exit(1);
    }
}

static void *use(void *unused)
{
    repliq_message found[4], one = REPLIQ_MESSAGE;
    repliq_event events[4];
    size_t n;
    one.payload = repliq_text("x");
    while (running) {
        count(repliq_snapshot_browse(snapshot, queue, 1, found, 4, &n));
        count(repliq_session_put(session, queue, &one, 1));
        count(repliq_session_rollback(session));
        count(repliq_port_drain(port, events, 4, 1, &n));
    }
    return unused;
}

static void open_all(void)
{
    repliq_snapshot *a;
    repliq_session *b;
    repliq_port *c;
    CHECK(!repliq_snapshot_open(store, &a) && !repliq_session_open(store, NULL, &b) && !repliq_port_open(&c));
    snapshot = a;
    session = b;
    port = c;
}

static void close_while_others_are_inside(void)
{
    pthread_t users[USERS];
    int i;
    open_all();
    for (i = 0; i < USERS; i++)
        CHECK(pthread_create(&users[i], NULL, use, NULL) == 0);
    for (i = 0; i < ROUNDS; i++) {
        repliq_snapshot *a = snapshot;
        repliq_session *b = session;
        repliq_port *c = port;
        repliq_code code;
        usleep(1000);
        open_all();
        CHECK(repliq_snapshot_close(a) == REPLIQ_OK);
        while ((code = repliq_session_close(b)) == REPLIQ_BUSY)
            ;
        CHECK(code == REPLIQ_OK);
        CHECK(repliq_port_close(c) == REPLIQ_OK);
        CHECK(repliq_snapshot_close(a) == REPLIQ_BAD_HANDLE && repliq_port_close(c) == REPLIQ_BAD_HANDLE);
    }
    running = 0;
    for (i = 0; i < USERS; i++)
        CHECK(pthread_join(users[i], NULL) == 0);
    CHECK(good > ROUNDS);
    CHECK(!repliq_snapshot_close(snapshot) && !repliq_session_close(session) && !repliq_port_close(port));
}

/* What the handler saw: it may put, and nothing else. */
static _Atomic(repliq_listener *) own;
static _Atomic int seen;

static int32_t handler(void *user, repliq_session *lent, const repliq_message *messages, size_t n)
{
    repliq_message copy = REPLIQ_MESSAGE;
    CHECK(user == &seen && n == 1 && messages->payload.len == 3);
    while (own == NULL)
        usleep(1000);
    CHECK(repliq_listener_close(own) == REPLIQ_BUSY);
    CHECK(repliq_session_close(lent) == REPLIQ_BUSY);
    CHECK(repliq_session_commit(lent, NULL) == REPLIQ_BUSY);
    CHECK(repliq_session_rollback(lent) == REPLIQ_BUSY);
    copy.payload = messages->payload;
    CHECK(repliq_session_put(lent, queue, &copy, 1) == REPLIQ_OK);
    seen++;
    return REPLIQ_HANDLED;
}

static void a_handler_cannot_close_what_calls_it(void)
{
    repliq_message tea = REPLIQ_MESSAGE;
    repliq_consumer *consumer;
    repliq_listener *listener;
    repliq_queue in;
    int i;
    tea.payload = repliq_text("tea");
    CHECK(!repliq_store_queue(store, "in", &in) && !repliq_store_put(store, in, &tea, 1, NULL, NULL));
    CHECK(!repliq_consumer_open(store, "c", in, NULL, &consumer));
    CHECK(!repliq_listener_open(consumer, handler, (void *)&seen, NULL, &listener));
    CHECK(repliq_consumer_close(consumer) == REPLIQ_BAD_HANDLE);
    own = listener;
    for (i = 0; i < 5000 && !seen; i++)
        usleep(1000);
    CHECK(seen == 1);
    CHECK(repliq_listener_close(listener) == REPLIQ_OK);
    CHECK(repliq_listener_close(listener) == REPLIQ_BAD_HANDLE);
}

static void a_child_is_told_that_it_is_one(const char *folder)
{
    repliq_message tea = REPLIQ_MESSAGE;
    char path[600];
    pid_t child;
    int status;
    (void)snprintf(path, sizeof path, "%s/child", folder);
    tea.payload = repliq_text("tea");
    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        repliq_store *mine;
        CHECK(repliq_store_put(store, queue, &tea, 1, NULL, NULL) == REPLIQ_FORKED);
        CHECK(repliq_store_queue(store, "q", &queue) == REPLIQ_FORKED);
        CHECK(repliq_store_close(store) == REPLIQ_OK);
        CHECK(repliq_store_open(path, NULL, &mine) == REPLIQ_OK && repliq_store_close(mine) == REPLIQ_OK);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(repliq_store_put(store, queue, &tea, 1, NULL, NULL) == REPLIQ_OK);
}

static void *wait_in_drain(void *of)
{
    repliq_event event;
    size_t n;
    CHECK(repliq_port_drain(of, &event, 1, 600000, &n) == REPLIQ_CLOSED);
    return of;
}

/* The thread that is inside at the fork does not exist in the child, which therefore must not wait for it. */
static void a_child_does_not_wait_for_a_thread_of_its_parent(void)
{
    repliq_event event;
    repliq_port *busy, *idle;
    pthread_t thread;
    pid_t child;
    size_t n;
    int status;
    CHECK(!repliq_port_open(&busy) && !repliq_port_open(&idle));
    CHECK(pthread_create(&thread, NULL, wait_in_drain, busy) == 0);
    /* Another drain is told BUSY as soon as the thread is inside. */
    while (repliq_port_drain(busy, &event, 1, 0, &n) != REPLIQ_BUSY)
        usleep(1000);
    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(20);
        CHECK(repliq_port_close(busy) == REPLIQ_FORKED);
        CHECK(repliq_port_close(busy) == REPLIQ_FORKED);
        CHECK(repliq_port_close(idle) == REPLIQ_OK);
        CHECK(repliq_port_open(&busy) == REPLIQ_OK && repliq_port_close(busy) == REPLIQ_OK);
        fflush(stdout);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(repliq_port_close(busy) == REPLIQ_OK && repliq_port_close(idle) == REPLIQ_OK);
    CHECK(pthread_join(thread, NULL) == 0);
}

int main(int argc, char **argv)
{
    char path[600];
    CHECK(argc == 2);
    (void)snprintf(path, sizeof path, "%s/store", argv[1]);
    CHECK(!repliq_store_open(path, NULL, &store) && !repliq_store_queue(store, "q", &queue));
    a_child_is_told_that_it_is_one(argv[1]);
    a_child_does_not_wait_for_a_thread_of_its_parent();
    close_while_others_are_inside();
    a_handler_cannot_close_what_calls_it();
    CHECK(repliq_store_close(store) == REPLIQ_OK);
    CHECK(repliq_store_close(store) == REPLIQ_BAD_HANDLE);
    printf("race: %d rounds, %lu calls went in, %lu were told\n", ROUNDS, good, told);
    return 0;
}
