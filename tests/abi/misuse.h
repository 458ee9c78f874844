/*
 * What the generated programs of tests/abi/misuse.rs share: a store with one of everything, and the counting.
 *
 * F holds valid arguments, O is where functions write. A call that fails must leave O as it was.
 */
#include <repliq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_BYTES_MAX (64 << 10)

static struct {
    char folder[512], path[600], backup[600];
    repliq_store *store;
    repliq_queue queue;
    repliq_session *session;
    repliq_consumer *consumer;
    repliq_listener *listener;
    repliq_snapshot *snapshot;
    repliq_port *port;
    repliq_server *server;
    repliq_replication *replication;
    /* Handles of each kind that are closed already. */
    repliq_store *stale_store;
    repliq_session *stale_session;
    repliq_consumer *stale_consumer;
    repliq_listener *stale_listener;
    repliq_snapshot *stale_snapshot;
    repliq_port *stale_port;
    repliq_server *stale_server;
    repliq_replication *stale_replication;
    repliq_header headers[2];
    repliq_message messages[2];
    repliq_token tokens[2];
    char token_text[REPLIQ_TOKEN_TEXT_SIZE];
    repliq_transaction_id id;
    char id_text[REPLIQ_TRANSACTION_ID_TEXT_SIZE];
    uint64_t sequences[2];
    /* Longer than any text may be, and without an end. */
    char *endless;
    repliq_store_options store_options;
    repliq_put_options put_options;
    repliq_session_options session_options;
    repliq_consumer_options consumer_options;
    repliq_listener_options listener_options;
    repliq_server_options server_options;
    repliq_replication_options replication_options;
    repliq_target_status target_status;
    repliq_target_options target_options;
    uint16_t kinds[1];
    const char *listen[1];
    repliq_user users[1];
} F;

static struct {
    repliq_store *store;
    repliq_session *session;
    repliq_consumer *consumer;
    repliq_listener *listener;
    repliq_snapshot *snapshot;
    repliq_port *port;
    repliq_server *server;
    repliq_replication *replication;
    repliq_queue queue;
    repliq_result result;
    repliq_backup backup;
    repliq_outcome outcome;
    repliq_transaction_id id[1];
    repliq_redriven redriven;
    repliq_token tokens[2];
    repliq_message messages[4];
    repliq_event events[4];
    char text[128];
    size_t n;
    int32_t fd;
} O, untouched;

static unsigned long calls, failures;

static int32_t handler(void *user, repliq_session *session, const repliq_message *messages, size_t n)
{
    (void)user, (void)session, (void)messages, (void)n;
    return REPLIQ_HANDLED;
}

static void logger(void *user, int32_t level, const char *target, const char *text)
{
    (void)user, (void)level, (void)target, (void)text;
}

static void must(int condition, const char *what)
{
    if (!condition) {
        repliq_error error = REPLIQ_ERROR;
        repliq_error_last(&error);
        printf("FAILED to prepare: %s: %s\n", what, error.text);
        exit(2);
    }
}

/* A server is a thread and four descriptors, so it is there only for those who ask. */
static void fixture_open(const char *name, int with_server, int with_replication)
{
    static const repliq_store_options store_options = REPLIQ_STORE_OPTIONS;
    static const repliq_put_options put_options = REPLIQ_PUT_OPTIONS;
    static const repliq_session_options session_options = REPLIQ_SESSION_OPTIONS;
    static const repliq_consumer_options consumer_options = REPLIQ_CONSUMER_OPTIONS;
    static const repliq_listener_options listener_options = REPLIQ_LISTENER_OPTIONS;
    static const repliq_server_options server_options = REPLIQ_SERVER_OPTIONS;
    static const repliq_replication_options replication_options = REPLIQ_REPLICATION_OPTIONS;
    static const repliq_target_status target_status = REPLIQ_TARGET_STATUS;
    static const repliq_target_options target_options = REPLIQ_TARGET_OPTIONS;
    static const repliq_message message = REPLIQ_MESSAGE;
    repliq_queue root;
    repliq_result result;
    repliq_consumer *consumer;
    repliq_consumer_options leased = REPLIQ_CONSUMER_OPTIONS;
    char path[600];
    size_t n;
    memset(&F, 0, sizeof F);
    snprintf(F.folder, sizeof F.folder, "%s", name);
    must(mkdir(F.folder, 0700) == 0, "mkdir");
    F.store_options = store_options;
    F.put_options = put_options;
    F.session_options = session_options;
    F.consumer_options = consumer_options;
    F.listener_options = listener_options;
    F.store_options.helper = REPLIQ_NO;
    snprintf(path, sizeof path, "%s/store", F.folder);
    snprintf(F.path, sizeof F.path, "%s/other", F.folder);
    snprintf(F.backup, sizeof F.backup, "%s/backup", F.folder);
    must(!repliq_store_open(path, &F.store_options, &F.store), "store_open");
    must(!repliq_store_queue(F.store, "q", &F.queue), "store_queue");
    F.headers[0].name = repliq_text("color");
    F.headers[0].value = repliq_text("green");
    F.messages[0] = F.messages[1] = message;
    F.messages[0].payload = repliq_text("tea");
    F.messages[0].headers = F.headers;
    F.messages[0].header_count = 1;
    must(!repliq_store_put(F.store, F.queue, F.messages, 2, NULL, &result), "store_put");
    F.tokens[0] = F.tokens[1] = result.token;
    must(!repliq_token_text(&result.token, F.token_text, sizeof F.token_text), "token_text");
    must(!repliq_session_open(F.store, NULL, &F.session), "session_open");
    must(!repliq_session_id(F.session, &F.id), "session_id");
    must(!repliq_session_prepare(F.session, "xid", 3, &F.id), "session_prepare");
    must(!repliq_transaction_id_text(&F.id, F.id_text, sizeof F.id_text), "transaction_id_text");
    leased.shared = REPLIQ_YES;
    leased.lease_ms = 3600000;
    must(!repliq_consumer_open(F.store, "c", F.queue, &leased, &F.consumer), "consumer_open");
    must(!repliq_consumer_receive(F.consumer, O.messages, 1, 0, &n) && n == 1, "consumer_receive");
    F.sequences[0] = O.messages[0].sequence;
    must(!repliq_consumer_open(F.store, "l", F.queue, NULL, &consumer), "consumer_open");
    must(!repliq_listener_open(consumer, handler, NULL, NULL, &F.listener), "listener_open");
    must(!repliq_snapshot_open(F.store, &F.snapshot), "snapshot_open");
    must(!repliq_port_open(&F.port), "port_open");

    snprintf(path, sizeof path, "%s/stale", F.folder);
    must(!repliq_store_open(path, NULL, &F.stale_store) && !repliq_store_close(F.stale_store), "stale");
    must(!repliq_session_open(F.store, NULL, &F.stale_session) && !repliq_session_close(F.stale_session), "stale");
    must(!repliq_consumer_open(F.store, "gone", F.queue, NULL, &F.stale_consumer), "stale");
    must(!repliq_listener_open(F.stale_consumer, handler, NULL, NULL, &F.stale_listener), "stale");
    must(!repliq_listener_close(F.stale_listener), "stale");
    must(!repliq_snapshot_open(F.store, &F.stale_snapshot) && !repliq_snapshot_close(F.stale_snapshot), "stale");
    F.server_options = server_options;
    F.server_options.plain = REPLIQ_YES;
    F.listen[0] = "127.0.0.1:0";
    F.server_options.listen = F.listen;
    F.server_options.listen_count = 1;
    if (with_server) {
        must(!repliq_server_open(F.store, &F.server_options, &F.server), "server_open");
        must(!repliq_server_open(F.store, &F.server_options, &F.stale_server), "stale");
        must(!repliq_server_close(F.stale_server), "stale");
    }
    /* Nobody is there: the link keeps trying. */
    F.replication_options = replication_options;
    F.target_status = target_status;
    F.target_options = target_options;
    F.target_options.plain = REPLIQ_YES;
    F.target_options.kinds = F.kinds;
    F.target_options.kind_count = 1;
    F.target_options.password = repliq_text("secret");
    must(!repliq_store_queue(F.store, "stale root", &root), "store_queue");
    must(!repliq_replication_open(F.store, root, NULL, &F.stale_replication), "stale");
    must(!repliq_replication_close(F.stale_replication), "stale");
    if (with_replication) {
        must(!repliq_store_queue(F.store, "root", &root), "store_queue");
        must(!repliq_replication_open(F.store, root, NULL, &F.replication), "replication_open");
        must(!repliq_replication_add(F.replication, "name", "repliq://till@127.0.0.1:9", &F.target_options), "add");
        must(!repliq_replication_start_job(F.replication), "start_job");
    }
    F.users[0].name = "till";
    F.users[0].password = repliq_text("secret");
    F.users[0].verbs = "publish, browse";
    F.users[0].queues = "orders*";
    F.server_options.users = F.users;
    F.server_options.user_count = 1;
    must(!repliq_port_open(&F.stale_port) && !repliq_port_close(F.stale_port), "stale");

    F.endless = malloc(TEXT_BYTES_MAX);
    must(F.endless != NULL, "malloc");
    memset(F.endless, 'x', TEXT_BYTES_MAX);
}

/* What a test closed already is stale by now, which does no harm. */
static void fixture_close(void)
{
    repliq_server_close(F.server);
    repliq_replication_close(F.replication);
    repliq_listener_close(F.listener);
    repliq_consumer_close(F.consumer);
    repliq_session_close(F.session);
    repliq_snapshot_close(F.snapshot);
    repliq_port_close(F.port);
    repliq_store_close(F.store);
    free(F.endless);
}

static void before(void)
{
    memset(&O, 0xAA, sizeof O);
    memset(&untouched, 0xAA, sizeof untouched);
}

/* `allowed` is a list of names of codes, each with a blank behind. */
static void after(const char *function, const char *attack, repliq_code code, const char *allowed)
{
    repliq_error error = REPLIQ_ERROR;
    char name[64];
    calls++;
    snprintf(name, sizeof name, "%s ", repliq_code_name(code));
    repliq_error_last(&error);
    if (strstr(allowed, name) == NULL) {
        failures++;
        printf("FAILED %s, %s: %s(%s), not one of %s\n", function, attack, name, code ? error.text : "", allowed);
    } else if (code != REPLIQ_OK && (error.code != code || error.text[0] == '\0')) {
        failures++;
        printf("FAILED %s, %s: %sleft no text behind\n", function, attack, name);
    } else if (code != REPLIQ_OK && memcmp(&O, &untouched, sizeof O) != 0) {
        failures++;
        printf("FAILED %s, %s: %swrote an output\n", function, attack, name);
    }
}

static void close_outputs(void)
{
    repliq_server_close(O.server);
    repliq_replication_close(O.replication);
    repliq_listener_close(O.listener);
    repliq_consumer_close(O.consumer);
    repliq_session_close(O.session);
    repliq_snapshot_close(O.snapshot);
    repliq_port_close(O.port);
    repliq_store_close(O.store);
}

/* A handle of the same slot and kind, one object later. */
static void *next_generation(void *handle)
{
    return (void *)((uintptr_t)handle + ((uintptr_t)1 << 32));
}

/* A handle of a slot that was never given out. */
static void *wild_slot(void *handle)
{
    return (void *)((uintptr_t)handle | (uintptr_t)0xffffff00);
}

static int report(const char *what, unsigned functions)
{
    printf("%s: %u functions, %lu calls, %lu failures\n", what, functions, calls, failures);
    return failures > 0;
}
