/*
 * The scripts of tests/conformance through repliq.h; their language is described there.
 *
 * Usage: conformance [-e] [-r tcp|unix] FOLDER SCRIPT…
 *
 * FOLDER is empty and is used for the stores; -e prints errors; with -r every store is used at a server
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <repliq.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define WORDS_MAX 24
#define NAMES_MAX 64
#define READ_MAX 64

typedef struct {
    char *at;
    size_t len;
} text;

typedef struct {
    char name[64];
    text value;
} field;

typedef struct {
    text words[WORDS_MAX];
    size_t word_count;
    field fields[WORDS_MAX];
    size_t field_count;
    char code[32];
    long index;
} step;

/* What a name of the script stands for; handles of all kinds side by side. */
typedef struct {
    char name[32];
    enum { NONE, STORE, QUEUE, SESSION, CONSUMER, SNAPSHOT, PORT, TOKEN, SERVER, REPLICATION, IDENTITY } kind;
    void *handle;
    repliq_queue queue;
    repliq_token token;
    repliq_transaction_id id;
    /* Where a server listens that has a socket; empty otherwise. */
    char socket[300];
    /* The server and the directory behind a store that the run itself serves. */
    repliq_server *own_server;
    repliq_store *own_store;
} named;

/* A message that was read, copied: what the library lends lives only until the next call. */
typedef struct {
    repliq_message message;
    char *bytes[3];
    struct {
        char name[64];
        text value;
    } headers[8];
} copied;

static named names[NAMES_MAX];
static copied read_last[READ_MAX];
static size_t read_count;
static char why[1024];
static const char *folder;
static char script_folder[4096];
static const char *script_name;
static size_t script_line;
static int print_errors;
/* How every store is used at a server: "tcp" or "unix"; NULL where they are in their directories. */
static const char *way;

/* What a step answers beside the codes of the library: the script is wrong, or something else came. */
enum { HOLDS_NOT = -1 };

static int wrong(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    return HOLDS_NOT;
}

static void *room(size_t size)
{
    void *made = calloc(1, size + 1);
    if (made == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return made;
}

/* ---- lines */

static int hex(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Reads one word; returns what follows, or NULL where a quote is not closed. */
static const char *word(const char *line, char *name, size_t name_size, text *value, int *quoted)
{
    char *to = room(strlen(line));
    size_t len = 0;
    name[0] = '\0';
    *quoted = 0;
    while (*line != '\0' && *line != ' ') {
        if (*line == '=' && name[0] == '\0' && !*quoted) {
            snprintf(name, name_size, "%.*s", (int)len, to);
            len = 0;
            line++;
        } else if (*line == '"') {
            size_t start = len;
            size_t times = 1;
            *quoted = 1;
            for (line++; *line != '"'; line++) {
                if (*line == '\0')
                    return NULL;
                if (*line != '\\') {
                    to[len++] = *line;
                    continue;
                }
                line++;
                if (*line == 'n')
                    to[len++] = '\n';
                else if (*line == '0')
                    to[len++] = '\0';
                else if (*line == 'x' && hex(line[1]) >= 0 && hex(line[2]) >= 0) {
                    to[len++] = (char)(hex(line[1]) * 16 + hex(line[2]));
                    line += 2;
                } else
                    to[len++] = *line;
            }
            line++;
            if (*line == '*')
                times = strtoul(line + 1, (char **)&line, 10);
            if (times > 1) {
                size_t one = len - start;
                size_t i;
                char *more = room(len + one * times + strlen(line));
                memcpy(more, to, len);
                for (i = 1; i < times; i++, len += one)
                    memcpy(more + len, to + start, one);
                free(to);
                to = more;
            }
        } else
            to[len++] = *line++;
    }
    to[len] = '\0';
    value->at = to;
    value->len = len;
    return line;
}

static int parse(const char *line, step *into)
{
    int failing = 0;
    memset(into, 0, sizeof *into);
    into->index = -1;
    for (;;) {
        char name[64];
        text value;
        int quoted;
        while (*line == ' ')
            line++;
        if (*line == '\0')
            return 0;
        line = word(line, name, sizeof name, &value, &quoted);
        if (line == NULL || into->word_count == WORDS_MAX || into->field_count == WORDS_MAX)
            return wrong("a quote is not closed, or too many words");
        if (name[0] != '\0') {
            memcpy(into->fields[into->field_count].name, name, sizeof name);
            into->fields[into->field_count++].value = value;
            continue;
        }
        if (failing) {
            if (into->code[0] == '\0')
                snprintf(into->code, sizeof into->code, "%s", value.at);
            else
                into->index = atol(value.at);
        } else if (!quoted && strcmp(value.at, "!") == 0) {
            failing = 1;
        } else {
            into->words[into->word_count++] = value;
            continue;
        }
        free(value.at);
    }
}

static void forget(step *of)
{
    size_t i;
    for (i = 0; i < of->word_count; i++)
        free(of->words[i].at);
    for (i = 0; i < of->field_count; i++)
        free(of->fields[i].value.at);
}

static const char *arg(const step *of, size_t at)
{
    return at < of->word_count ? of->words[at].at : "";
}

static uint64_t number(const step *of, size_t at)
{
    return strtoull(arg(of, at), NULL, 10);
}

static const text *field_of(const step *of, const char *name)
{
    size_t i;
    for (i = 0; i < of->field_count; i++)
        if (strcmp(of->fields[i].name, name) == 0)
            return &of->fields[i].value;
    return NULL;
}

static int level(const step *of)
{
    const text *value = field_of(of, "level");
    if (value == NULL)
        return 0;
    return strcmp(value->at, "process") == 0 ? REPLIQ_LEVEL_PROCESS : REPLIQ_LEVEL_POWER;
}

/* A field that is a number; 0 where it is not given. */
static uint64_t number_of(const step *of, const char *name)
{
    const text *value = field_of(of, name);
    return value == NULL ? 0 : strtoull(value->at, NULL, 10);
}

static int32_t is_yes(const step *of, const char *name)
{
    const text *value = field_of(of, name);
    return value != NULL && strcmp(value->at, "yes") == 0 ? REPLIQ_YES : REPLIQ_NO;
}

static const char *or_text(const step *of, const char *name, const char *other)
{
    const text *value = field_of(of, name);
    return value != NULL ? value->at : other;
}

/* ---- names */

static named *find(const char *name)
{
    size_t i;
    for (i = 0; i < NAMES_MAX; i++)
        if (names[i].kind != NONE && strcmp(names[i].name, name) == 0)
            return &names[i];
    return NULL;
}

static named *make(const char *name, int kind)
{
    named *made = find(name);
    size_t i;
    for (i = 0; made == NULL && i < NAMES_MAX; i++)
        if (names[i].kind == NONE)
            made = &names[i];
    if (made == NULL) {
        fprintf(stderr, "more than %d names\n", NAMES_MAX);
        exit(2);
    }
    snprintf(made->name, sizeof made->name, "%s", name);
    made->kind = kind;
    made->socket[0] = '\0';
    return made;
}

/* NULL where it is not open: the library answers INVALID, which no script asks for. */
static void *handle(const char *name, int kind)
{
    named *found = find(name);
    return found != NULL && (int)found->kind == kind ? found->handle : NULL;
}

static repliq_queue queue(const char *name)
{
    named *found = find(name);
    return found != NULL && found->kind == QUEUE ? found->queue : 0;
}

static void keep(const char *name, int kind, void *opened)
{
    make(name, kind)->handle = opened;
}

/* Closes a store, and the server and directory behind it, where the run serves it. */
static repliq_code close_store(named *one)
{
    repliq_code code = repliq_store_close(one->handle);
    if (one->own_server != NULL) {
        repliq_code ended = repliq_server_close(one->own_server), closed = repliq_store_close(one->own_store);
        one->own_server = NULL;
        code = code != REPLIQ_OK ? code : ended != REPLIQ_OK ? ended : closed;
    }
    return code;
}

static repliq_code close_one(named *one)
{
    switch (one->kind) {
    case STORE: return close_store(one);
    case SESSION: return repliq_session_close(one->handle);
    case CONSUMER: return repliq_consumer_close(one->handle);
    case SNAPSHOT: return repliq_snapshot_close(one->handle);
    case PORT: return repliq_port_close(one->handle);
    case SERVER: return repliq_server_close(one->handle);
    case REPLICATION: return repliq_replication_close(one->handle);
    default: return REPLIQ_OK;
    }
}

/* ---- messages */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

typedef struct {
    repliq_message all[WORDS_MAX];
    repliq_header headers[WORDS_MAX];
    size_t n;
} batch;

static repliq_bytes bytes(const text *of)
{
    repliq_bytes made = {0, 0};
    made.data = of->at;
    made.len = of->len;
    return made;
}

static void messages(const step *of, size_t from, batch *into)
{
    repliq_message one = REPLIQ_MESSAGE;
    size_t i;
    one.headers = into->headers;
    for (i = 0; i < of->field_count; i++) {
        const char *name = of->fields[i].name;
        const text *value = &of->fields[i].value;
        uint64_t as_number = strtoull(value->at, NULL, 10);
        if (strcmp(name, "kind") == 0)
            one.kind = (uint16_t)as_number;
        else if (strcmp(name, "key") == 0)
            one.key = bytes(value);
        else if (strcmp(name, "producer") == 0)
            one.producer = bytes(value);
        else if (strcmp(name, "producer_sequence") == 0)
            one.producer_sequence = as_number;
        else if (strcmp(name, "deliver_at_ms") == 0)
            one.deliver_at_ms = as_number;
        else if (strcmp(name, "priority") == 0)
            one.priority = (uint8_t)as_number;
        else if (strcmp(name, "expires") == 0)
            one.expires_ms = now_ms() + (uint64_t)atoll(value->at);
        else if (strncmp(name, "header.", 7) == 0) {
            into->headers[one.header_count].name = repliq_text(name + 7);
            into->headers[one.header_count++].value = bytes(value);
        }
    }
    for (into->n = 0; from + into->n < of->word_count; into->n++) {
        into->all[into->n] = one;
        into->all[into->n].payload = bytes(&of->words[from + into->n]);
    }
}

static char *copy(repliq_bytes *of)
{
    char *made = room(of->len);
    memcpy(made, of->len > 0 ? of->data : "", of->len);
    of->data = made;
    return made;
}

static void copy_message(const repliq_message *from, copied *to)
{
    size_t i;
    memset(to, 0, sizeof *to);
    to->message = *from;
    to->bytes[0] = copy(&to->message.payload);
    to->bytes[1] = copy(&to->message.key);
    to->bytes[2] = copy(&to->message.producer);
    for (i = 0; i < from->header_count && i < 8; i++) {
        repliq_header one = from->headers[i];
        snprintf(to->headers[i].name, sizeof to->headers[i].name, "%.*s", (int)one.name.len,
                 (const char *)one.name.data);
        to->headers[i].value.at = copy(&one.value);
        to->headers[i].value.len = one.value.len;
    }
}

static void forget_read(void)
{
    size_t i, j;
    for (i = 0; i < read_count; i++) {
        for (j = 0; j < 3; j++)
            free(read_last[i].bytes[j]);
        for (j = 0; j < 8; j++)
            free(read_last[i].headers[j].value.at);
    }
    read_count = 0;
}

static int receive(const step *of, const char *verb)
{
    int session = strcmp(verb, "session_receive") == 0;
    int browse = strcmp(verb, "browse") == 0;
    size_t expected = session || browse ? 5 : 4;
    size_t max = number(of, session ? 3 : browse ? 4 : 2);
    uint64_t wait = number(of, expected - 1);
    size_t wanted = of->word_count - expected;
    size_t i;
    repliq_message found[READ_MAX];
    forget_read();
    if (max > READ_MAX)
        return wrong("more than %d messages", READ_MAX);
    for (;;) {
        size_t n = 0;
        size_t left = max - read_count;
        repliq_code code;
        if (browse) {
            uint64_t from = read_count > 0 ? read_last[read_count - 1].message.sequence + 1 : number(of, 3);
            code = repliq_snapshot_browse(handle(arg(of, 1), SNAPSHOT), queue(arg(of, 2)), from, found, left, &n);
        } else if (session)
            code = repliq_session_receive(handle(arg(of, 1), SESSION), handle(arg(of, 2), CONSUMER), found, left,
                                          wait, &n);
        else
            code = repliq_consumer_receive(handle(arg(of, 1), CONSUMER), found, left, wait, &n);
        if (code != REPLIQ_OK)
            return code;
        for (i = 0; i < n; i++)
            copy_message(&found[i], &read_last[read_count++]);
        if (n == 0 || read_count >= (wanted > 1 ? wanted : 1))
            break;
    }
    if (read_count != wanted)
        return wrong("%zu messages came, not %zu", read_count, wanted);
    for (i = 0; i < wanted; i++) {
        const text *text = &of->words[expected + i];
        repliq_bytes got = read_last[i].message.payload;
        if (got.len != text->len || memcmp(got.data, text->at, got.len) != 0)
            return wrong("message %zu is %.*s", i, got.len > 200 ? 200 : (int)got.len, (const char *)got.data);
    }
    return REPLIQ_OK;
}

static int check(const step *of)
{
    size_t at = number(of, 1);
    size_t i, h;
    if (at >= read_count)
        return wrong("no message %zu", at);
    for (i = 0; i < of->field_count; i++) {
        const char *name = of->fields[i].name;
        const text *value = &of->fields[i].value;
        const repliq_message *message = &read_last[at].message;
        char digits[32];
        text found = {digits, 0};
        uint64_t as_number = 0;
        int is_number = 1;
        if (strcmp(name, "kind") == 0)
            as_number = message->kind;
        else if (strcmp(name, "producer_sequence") == 0)
            as_number = message->producer_sequence;
        else if (strcmp(name, "sequence") == 0)
            as_number = message->sequence;
        else if (strcmp(name, "deliveries") == 0)
            as_number = message->deliveries;
        else if (strcmp(name, "priority") == 0)
            as_number = message->priority;
        else if (strcmp(name, "deliver_at_ms") == 0)
            as_number = message->deliver_at_ms;
        else if (strcmp(name, "queue") == 0) {
            if (message->queue != queue(value->at))
                return wrong("the queue is %u", message->queue);
            continue;
        } else {
            is_number = 0;
            found.at = "(none)";
            found.len = 6;
            if (strcmp(name, "key") == 0) {
                found.at = read_last[at].bytes[1];
                found.len = message->key.len;
            } else if (strcmp(name, "producer") == 0) {
                found.at = read_last[at].bytes[2];
                found.len = message->producer.len;
            } else if (strncmp(name, "header.", 7) == 0) {
                for (h = 0; h < message->header_count && h < 8; h++)
                    if (strcmp(read_last[at].headers[h].name, name + 7) == 0)
                        found = read_last[at].headers[h].value;
            } else
                return wrong("no field %s", name);
        }
        if (is_number)
            found.len = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)as_number);
        if (found.len != value->len || memcmp(found.at, value->at, found.len) != 0)
            return wrong("%s is %.*s", name, (int)found.len, found.at);
    }
    return REPLIQ_OK;
}

/* ---- verbs */

/* Where a server listens, which its status tells. */
static int address_of(repliq_server *server, char *into, size_t size)
{
    static char made[65536];
    const char *found;
    size_t len;
    repliq_code code = repliq_server_status(server, made, sizeof made, &len);
    if (code != REPLIQ_OK)
        return code;
    if ((found = strstr(made, "127.0.0.1:")) == NULL)
        return wrong("no address in %s", made);
    snprintf(into, size, "%.*s", (int)strcspn(found, "\"] ,"), found);
    return REPLIQ_OK;
}

static int address(const char *name, char *into, size_t size)
{
    return address_of(handle(name, SERVER), into, size);
}

/* Serves an opened store to this run, and keeps under the name what its URL opens. */
static int serve_store(const char *name, repliq_store *store)
{
    static int sockets;
    repliq_server_options options = REPLIQ_SERVER_OPTIONS;
    repliq_store_options connect = REPLIQ_STORE_OPTIONS;
    repliq_user user = {"script", {"secret", 6}, "replicate,publish,browse,consume,admin", "*"};
    char listen[300] = "127.0.0.1:0", url[400], where[64];
    const char *listens = listen;
    repliq_server *server;
    repliq_store *there;
    int over_unix = strcmp(way, "unix") == 0, code;
    named *made;
    if (over_unix)
        snprintf(listen, sizeof listen, "unix:%.200s/socket.%d", script_folder, ++sockets);
    options.plain = REPLIQ_YES;
    options.listen = &listens;
    options.listen_count = 1;
    options.users = &user;
    options.user_count = 1;
    if ((code = repliq_server_open(store, &options, &server)) != REPLIQ_OK)
        return code;
    if (over_unix)
        snprintf(url, sizeof url, "repliq+unix://script@%s", listen + 5);
    else if ((code = address_of(server, where, sizeof where)) != REPLIQ_OK)
        return code;
    else
        snprintf(url, sizeof url, "repliq://script@%s", where);
    connect.plain = REPLIQ_YES;
    connect.password = repliq_text("secret");
    if ((code = repliq_store_open(url, &connect, &there)) != REPLIQ_OK)
        return code;
    made = make(name, STORE);
    made->handle = there;
    made->own_server = server;
    made->own_store = store;
    return REPLIQ_OK;
}

static int open_store(const step *of)
{
    repliq_store_options options = REPLIQ_STORE_OPTIONS;
    const text *value;
    char path[8192] = "";
    repliq_store *store;
    repliq_code code;
    if ((value = field_of(of, "create")) != NULL)
        options.create = strcmp(value->at, "no") == 0 ? REPLIQ_NO : REPLIQ_YES;
    if ((value = field_of(of, "read_only")) != NULL)
        options.read_only = strcmp(value->at, "yes") == 0 ? REPLIQ_YES : REPLIQ_NO;
    if ((value = field_of(of, "horizon")) != NULL)
        options.horizon = strcmp(value->at, "process") == 0 ? REPLIQ_LEVEL_PROCESS : REPLIQ_LEVEL_POWER;
    if ((value = field_of(of, "segment_bytes")) != NULL)
        options.segment_bytes = strtoull(value->at, NULL, 10);
    if ((value = field_of(of, "password")) != NULL)
        options.password = bytes(value);
    options.level = level(of);
    if (arg(of, 2)[0] != '\0')
        snprintf(path, sizeof path, "%s/%s", script_folder, arg(of, 2));
    code = repliq_store_open(path, &options, &store);
    if (code != REPLIQ_OK)
        return code;
    if (way != NULL)
        return serve_store(arg(of, 1), store);
    keep(arg(of, 1), STORE, store);
    return code;
}

static int restore_store(const step *of)
{
    repliq_store_options options = REPLIQ_STORE_OPTIONS;
    const text *password = field_of(of, "password");
    char from[8192], to[8192];
    if (password != NULL)
        options.password = bytes(password);
    snprintf(from, sizeof from, "%s/%s", script_folder, arg(of, 1));
    snprintf(to, sizeof to, "%s/%s", script_folder, arg(of, 2));
    return repliq_store_restore(from, to, &options, NULL);
}

static int back_up(const step *of)
{
    repliq_backup info;
    char dest[8192];
    repliq_code code;
    snprintf(dest, sizeof dest, "%s/%s", script_folder, arg(of, 2));
    code = repliq_store_backup(handle(arg(of, 1), STORE), dest, &info);
    return code;
}

static int put(const step *of, int start)
{
    static batch all;
    repliq_put_options options = REPLIQ_PUT_OPTIONS;
    repliq_result result;
    repliq_store *store = handle(arg(of, 1), STORE);
    repliq_code code;
    memset(&all, 0, sizeof all);
    messages(of, start ? 5 : 3, &all);
    if (start)
        return repliq_store_put_start(store, queue(arg(of, 2)), all.all, all.n, handle(arg(of, 3), PORT),
                                      number(of, 4));
    options.level = level(of);
    code = repliq_store_put(store, queue(arg(of, 2)), all.all, all.n, &options, &result);
    if (code == REPLIQ_OK && field_of(of, "token") != NULL)
        make(field_of(of, "token")->at, TOKEN)->token = result.token;
    return code;
}

static int on_session(const step *of, const char *verb)
{
    repliq_session *session = handle(arg(of, 1), SESSION);
    if (strcmp(verb, "session") == 0) {
        repliq_session_options options = REPLIQ_SESSION_OPTIONS;
        repliq_code code;
        options.name = or_text(of, "name", NULL);
        options.takeover = is_yes(of, "takeover");
        options.idle_ms = (uint32_t)number_of(of, "idle_ms");
        options.bytes_max = number_of(of, "bytes_max");
        code = repliq_session_open(handle(arg(of, 2), STORE), &options, &session);
        if (code == REPLIQ_OK)
            keep(arg(of, 1), SESSION, session);
        return code;
    }
    if (strcmp(verb, "session_put") == 0) {
        static batch all;
        memset(&all, 0, sizeof all);
        messages(of, 3, &all);
        return repliq_session_put(session, queue(arg(of, 2)), all.all, all.n);
    }
    if (strcmp(verb, "commit") == 0) {
        repliq_result result;
        repliq_code code = repliq_session_commit(session, &result);
        if (code == REPLIQ_OK && field_of(of, "token") != NULL)
            make(field_of(of, "token")->at, TOKEN)->token = result.token;
        return code;
    }
    if (strcmp(verb, "commit_start") == 0)
        return repliq_session_commit_start(session, handle(arg(of, 2), PORT), number(of, 3));
    return repliq_session_rollback(session);
}

static int on_consumer(const step *of, const char *verb)
{
    uint64_t sequences[WORDS_MAX];
    repliq_consumer *consumer = handle(arg(of, 1), CONSUMER);
    size_t n;
    if (strcmp(verb, "consumer") == 0) {
        repliq_consumer_options options = REPLIQ_CONSUMER_OPTIONS;
        const text *from = field_of(of, "from");
        repliq_code code;
        if (from != NULL && strcmp(from->at, "now") == 0)
            options.from = REPLIQ_FROM_NOW;
        else if (from != NULL && strcmp(from->at, "oldest") != 0) {
            options.from = REPLIQ_FROM_SEQUENCE;
            options.from_sequence = strtoull(from->at, NULL, 10);
        }
        options.shared = is_yes(of, "shared");
        options.keyed = is_yes(of, "keyed");
        options.parallel = (uint32_t)number_of(of, "parallel");
        options.per_key = (uint32_t)number_of(of, "per_key");
        options.conflate = is_yes(of, "conflate");
        options.key_versions = is_yes(of, "key_versions");
        options.lease_ms = number_of(of, "lease_ms");
        options.retry_delay_ms = number_of(of, "retry_delay_ms");
        options.retry_multiplier = (uint32_t)number_of(of, "retry_multiplier");
        options.retry_delay_ms_max = number_of(of, "retry_delay_ms_max");
        options.max_deliveries = (uint32_t)number_of(of, "max_deliveries");
        if (field_of(of, "after") != NULL)
            options.after_dead_letter = strcmp(field_of(of, "after")->at, "block") == 0 ? REPLIQ_AFTER_BLOCK
                                      : strcmp(field_of(of, "after")->at, "park") == 0 ? REPLIQ_AFTER_PARK
                                                                                       : REPLIQ_AFTER_SKIP;
        if (field_of(of, "dead_letters") != NULL)
            options.dead_letters = queue(field_of(of, "dead_letters")->at);
        code = repliq_consumer_open(handle(arg(of, 2), STORE), arg(of, 4), queue(arg(of, 3)), &options, &consumer);
        if (code == REPLIQ_OK)
            keep(arg(of, 1), CONSUMER, consumer);
        return code;
    }
    if (strcmp(verb, "consumer_delete") == 0)
        return repliq_consumer_delete(handle(arg(of, 1), STORE), arg(of, 3), queue(arg(of, 2)), NULL);
    if (strcmp(verb, "watch") == 0)
        return repliq_consumer_watch(consumer, handle(arg(of, 2), PORT), number(of, 3));
    for (n = 0; n + 2 < of->word_count; n++)
        sequences[n] = number(of, n + 2);
    if (strcmp(verb, "ack") == 0)
        return repliq_consumer_ack(consumer, sequences, n, NULL);
    if (strcmp(verb, "reject") == 0) {
        const char *reason = field_of(of, "reason") == NULL ? NULL : field_of(of, "reason")->at;
        if (is_yes(of, "to_end") == REPLIQ_YES)
            return repliq_consumer_reject_to_end(consumer, sequences, n, number_of(of, "delay_ms"), reason);
        return repliq_consumer_reject(consumer, sequences, n, number_of(of, "delay_ms"), reason);
    }
    if (strcmp(verb, "renew") == 0)
        return repliq_consumer_renew(consumer, sequences, n);
    return repliq_consumer_seek(consumer, sequences[0], NULL);
}

static int drain(const step *of)
{
    size_t wanted = of->word_count - 3;
    size_t count = 0;
    int seen[WORDS_MAX] = {0};
    while (count < wanted) {
        repliq_event events[WORDS_MAX];
        size_t n, i, w;
        repliq_code code =
            repliq_port_drain(handle(arg(of, 1), PORT), events, wanted - count, number(of, 2), &n);
        if (code != REPLIQ_OK)
            return code;
        if (n == 0)
            return wrong("%zu operations ended, not %zu", count, wanted);
        for (i = 0; i < n; i++, count++) {
            if (events[i].code != REPLIQ_OK)
                return wrong("operation %llu ended with %s", (unsigned long long)events[i].tag,
                             repliq_code_name(events[i].code));
            for (w = 0; w < wanted && (seen[w] || number(of, w + 3) != events[i].tag); w++)
                ;
            if (w == wanted)
                return wrong("operation %llu ended", (unsigned long long)events[i].tag);
            seen[w] = 1;
        }
    }
    return REPLIQ_OK;
}

static int on_tokens(const step *of, const char *verb)
{
    repliq_token tokens[WORDS_MAX], other;
    size_t from = strcmp(verb, "wait") == 0 ? 4 : strcmp(verb, "join") == 0 ? 2 : 1;
    size_t n, left;
    repliq_code code;
    if (strcmp(verb, "parse") == 0) {
        code = repliq_token_parse(of->words[2].at, of->words[2].len, &other);
        if (code == REPLIQ_OK)
            make(arg(of, 1), TOKEN)->token = other;
        return code;
    }
    for (n = 0; from + n < of->word_count; n++) {
        named *one = find(arg(of, from + n));
        if (one == NULL || one->kind != TOKEN)
            return wrong("%s is no token", arg(of, from + n));
        tokens[n] = one->token;
    }
    if (strcmp(verb, "wait") == 0)
        return repliq_store_wait(handle(arg(of, 1), STORE), arg(of, 2), tokens, n, number(of, 3));
    if (strcmp(verb, "join") == 0) {
        code = repliq_token_join(tokens, n, tokens, &left);
        return code != REPLIQ_OK || left == number(of, 1) ? code : wrong("%zu tokens are left", left);
    }
    if (strcmp(verb, "round_trip") == 0) {
        char text[REPLIQ_TOKEN_TEXT_SIZE];
        if ((code = repliq_token_text(tokens, text, sizeof text)) != REPLIQ_OK)
            return code;
        if ((code = repliq_token_parse(text, strlen(text), &other)) != REPLIQ_OK)
            return code;
        if (memcmp(&other, tokens, sizeof other) != 0)
            return wrong("the text gave another token");
        if ((code = repliq_token_parse(tokens[0].bytes, REPLIQ_TOKEN_SIZE, &other)) != REPLIQ_OK)
            return code;
        return memcmp(&other, tokens, sizeof other) == 0 ? REPLIQ_OK : wrong("the bytes gave another token");
    }
    if ((memcmp(&tokens[0], &tokens[1], sizeof other) == 0) == (strcmp(verb, "same") == 0))
        return REPLIQ_OK;
    return wrong("the tokens are not %s", verb);
}

/* What is asked about identities of transactions. */
static int on_identity(const step *of, const char *verb)
{
    static const char *const words[] = {"", "committed", "rolled_back", "pending", "expired"};
    repliq_transaction_id id, again;
    repliq_outcome outcome;
    named *known = find(arg(of, strcmp(verb, "resolve") == 0 ? 2 : 1));
    repliq_code code;
    if (strcmp(verb, "id") == 0 || strcmp(verb, "parse_id") == 0) {
        int own = strcmp(verb, "id") == 0;
        code = own ? repliq_session_id(handle(arg(of, 1), SESSION), &id)
                   : repliq_transaction_id_parse(of->words[2].at, of->words[2].len, &id);
        if (code == REPLIQ_OK)
            make(arg(of, own ? 2 : 1), IDENTITY)->id = id;
        return code;
    }
    if (known == NULL || known->kind != IDENTITY)
        return wrong("no such identity");
    if (strcmp(verb, "round_trip_id") == 0) {
        char text[REPLIQ_TRANSACTION_ID_TEXT_SIZE];
        if ((code = repliq_transaction_id_text(&known->id, text, sizeof text)) != REPLIQ_OK
            || (code = repliq_transaction_id_parse(text, strlen(text), &id)) != REPLIQ_OK
            || (code = repliq_transaction_id_parse(known->id.bytes, sizeof known->id.bytes, &again)) != REPLIQ_OK)
            return code;
        if (memcmp(&id, &known->id, sizeof id) != 0 || memcmp(&again, &id, sizeof id) != 0)
            return wrong("the round trip gave another identity");
        return REPLIQ_OK;
    }
    code = repliq_store_resolve(handle(arg(of, 1), STORE), &known->id, &outcome);
    if (code != REPLIQ_OK)
        return code;
    if (outcome.state < 1 || outcome.state > 4 || strcmp(words[outcome.state], arg(of, 3)) != 0)
        return wrong("the outcome is %d", outcome.state);
    if (field_of(of, "token") != NULL)
        make(field_of(of, "token")->at, TOKEN)->token = outcome.token;
    return REPLIQ_OK;
}

/* What is done with prepared transactions. */
static int on_prepared(const step *of, const char *verb)
{
    char text[65536];
    size_t len, count = 0;
    repliq_transaction_id id;
    repliq_result result;
    named *known;
    repliq_code code;
    if (strcmp(verb, "prepare") == 0) {
        code = repliq_session_prepare(handle(arg(of, 1), SESSION), of->words[2].at, of->words[2].len, &id);
        if (code == REPLIQ_OK)
            make(arg(of, 3), IDENTITY)->id = id;
        return code;
    }
    if (strcmp(verb, "finish") == 0) {
        known = find(arg(of, 2));
        if (known == NULL || known->kind != IDENTITY)
            return wrong("no such identity");
        code = repliq_store_finish(handle(arg(of, 1), STORE), &known->id,
                                   strcmp(arg(of, 3), "commit") == 0 ? REPLIQ_YES : REPLIQ_NO, &result);
        if (code == REPLIQ_OK && field_of(of, "token") != NULL)
            make(field_of(of, "token")->at, TOKEN)->token = result.token;
        return code;
    }
    if ((code = repliq_store_prepared(handle(arg(of, 1), STORE), text, sizeof text, &len)) != REPLIQ_OK)
        return code;
    for (const char *at = text; (at = strstr(at, "\"transaction\"")) != NULL; at++)
        count++;
    if (count != strtoul(arg(of, 2), NULL, 10))
        return wrong("%zu are prepared: %s", count, text);
    for (size_t word = 3; word < of->word_count; word++)
        if (strstr(text, arg(of, word)) == NULL)
            return wrong("no %s in %s", arg(of, word), text);
    return REPLIQ_OK;
}

static repliq_code status_text(const char *name, char *text, size_t size, size_t *len)
{
    named *one = find(name);
    if (one != NULL && one->kind == SERVER)
        return repliq_server_status(one->handle, text, size, len);
    if (one != NULL && one->kind == REPLICATION)
        return repliq_replication_status(one->handle, text, size, len);
    return repliq_store_status(handle(name, STORE), text, size, len);
}

static int status_now(const step *of)
{
    size_t len, at;
    char *made;
    int outcome = REPLIQ_OK;
    repliq_code code = status_text(arg(of, 1), NULL, 0, &len);
    if (code != REPLIQ_OK)
        return code;
    made = room(len + 1024);
    code = status_text(arg(of, 1), made, len + 1024, &len);
    for (at = 2; code == REPLIQ_OK && outcome == REPLIQ_OK && at < of->word_count; at++)
        if (strstr(made, arg(of, at)) == NULL)
            outcome = wrong("no %s in %s", arg(of, at), made);
    free(made);
    return code != REPLIQ_OK ? code : outcome;
}

static int sleep_ms(uint64_t ms)
{
    struct timespec wait;
    wait.tv_sec = (time_t)(ms / 1000);
    wait.tv_nsec = (long)(ms % 1000) * 1000000;
    nanosleep(&wait, NULL);
    return REPLIQ_OK;
}

static int status(const step *of)
{
    const text *within = field_of(of, "within");
    uint64_t end = now_ms() + (within != NULL ? strtoull(within->at, NULL, 10) : 0);
    int outcome;
    while ((outcome = status_now(of)) == HOLDS_NOT && now_ms() < end)
        sleep_ms(5);
    return outcome;
}

static int open_server(const step *of)
{
    repliq_server_options options = REPLIQ_SERVER_OPTIONS;
    repliq_server *server;
    repliq_user user;
    char where[300] = "127.0.0.1:0";
    const char *listen = where, *socket = or_text(of, "socket", NULL);
    named *made;
    int code = field_of(of, "at") != NULL ? address(field_of(of, "at")->at, where, sizeof where) : REPLIQ_OK;
    if (code != REPLIQ_OK)
        return code;
    if (socket != NULL)
        snprintf(where, sizeof where, "unix:%.200s/%.40s", script_folder, socket);
    user.name = or_text(of, "user", "");
    user.password = repliq_text(or_text(of, "password", ""));
    user.verbs = or_text(of, "verbs", "replicate");
    user.queues = or_text(of, "queues", "*");
    options.plain = REPLIQ_YES;
    options.listen = &listen;
    options.listen_count = 1;
    options.users = &user;
    options.user_count = 1;
    code = repliq_server_open(handle(arg(of, 2), STORE), &options, &server);
    if (code != REPLIQ_OK)
        return code;
    made = make(arg(of, 1), SERVER);
    made->handle = server;
    if (socket != NULL)
        snprintf(made->socket, sizeof made->socket, "%s", where + 5);
    return code;
}

/* Opens the store of a server. */
static int connect_store(const step *of, int by_url)
{
    repliq_store_options options = REPLIQ_STORE_OPTIONS;
    named *server = find(arg(of, 2));
    repliq_store *store;
    char where[64], url[400];
    int code;
    snprintf(url, sizeof url, "%s", arg(of, 2));
    if (!by_url && server != NULL && server->socket[0] != '\0')
        snprintf(url, sizeof url, "repliq+unix://%s", server->socket);
    else if (!by_url) {
        if ((code = address(arg(of, 2), where, sizeof where)) != REPLIQ_OK)
            return code;
        snprintf(url, sizeof url, "repliq://%s", where);
    }
    options.ca_file = or_text(of, "ca", NULL);
    options.plain = options.ca_file == NULL ? REPLIQ_YES : REPLIQ_NO;
    options.user = or_text(of, "user", NULL);
    options.password = repliq_text(or_text(of, "password", ""));
    options.reconnect_ms_max = 200;
    code = repliq_store_open(url, &options, &store);
    if (code == REPLIQ_OK)
        keep(arg(of, 1), STORE, store);
    return code;
}

static int add_target(const step *of, int by_url)
{
    repliq_target_options options = REPLIQ_TARGET_OPTIONS;
    char where[64], url[256];
    snprintf(url, sizeof url, "%s", arg(of, 3));
    if (!by_url) {
        int code = address(arg(of, 3), where, sizeof where);
        if (code != REPLIQ_OK)
            return code;
        snprintf(url, sizeof url, "repliq://%s", where);
    }
    options.ca_file = or_text(of, "ca", NULL);
    options.plain = options.ca_file == NULL ? REPLIQ_YES : REPLIQ_NO;
    options.user = or_text(of, "user", NULL);
    options.queue = or_text(of, "queue", NULL);
    options.password = repliq_text(or_text(of, "password", ""));
    options.reconnect_ms_max = 200;
    return repliq_replication_add(handle(arg(of, 1), REPLICATION), arg(of, 2), url, &options);
}

static int on_replication(const step *of, const char *verb)
{
    repliq_replication *replication = handle(arg(of, 1), REPLICATION);
    repliq_message message = REPLIQ_MESSAGE;
    repliq_result result;
    repliq_code code;
    if (strcmp(verb, "replication") == 0) {
        code = repliq_replication_open(handle(arg(of, 2), STORE), queue(arg(of, 3)), NULL, &replication);
        if (code == REPLIQ_OK)
            keep(arg(of, 1), REPLICATION, replication);
        return code;
    }
    if (strcmp(verb, "target") == 0 || strcmp(verb, "target_at") == 0)
        return add_target(of, strcmp(verb, "target_at") == 0);
    if (strcmp(verb, "start_job") == 0)
        return repliq_replication_start_job(replication);
    if (strcmp(verb, "abort_job") == 0)
        return repliq_replication_abort_job(replication);
    if (strcmp(verb, "stop") == 0)
        return repliq_replication_stop(replication, number(of, 2));
    if (strcmp(verb, "end_job") == 0)
        code = repliq_replication_end_job(replication, &result);
    else {
        message.kind = (uint16_t)number(of, 2);
        message.payload = repliq_text(arg(of, 3));
        code = repliq_replication_send_many(replication, &message, 1, &result);
    }
    if (code == REPLIQ_OK && field_of(of, "token") != NULL)
        make(field_of(of, "token")->at, TOKEN)->token = result.token;
    return code;
}

/* Says something to a server and reads until it hangs up. */
static int talk(const step *of)
{
    struct sockaddr_in to;
    struct timeval patience = {20, 0};
    char where[64], answer[512];
    ssize_t n;
    int fd, code = address(arg(of, 1), where, sizeof where);
    if (code != REPLIQ_OK)
        return code;
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)atoi(strchr(where, ':') + 1));
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        code = wrong("cannot connect to %s: %s", where, strerror(errno));
    else if (send(fd, of->words[2].at, of->words[2].len, MSG_NOSIGNAL) != (ssize_t)of->words[2].len)
        code = wrong("cannot write to %s: %s", where, strerror(errno));
    else {
        do
            n = recv(fd, answer, sizeof answer, 0);
        while (n > 0);
        if (n < 0 && errno != ECONNRESET)
            code = wrong("%s does not hang up: %s", where, strerror(errno));
    }
    close(fd);
    return code;
}

/* Waits until a target of the replication stands for this code, and tells what it says. */
static int told(const step *of)
{
    static char made[65536];
    char begin[64];
    uint64_t end = now_ms() + 20000;
    snprintf(begin, sizeof begin, "\"last_error\":\"%s: ", arg(of, 2));
    for (;;) {
        size_t len;
        char *from, *to = made;
        repliq_code code = repliq_replication_status(handle(arg(of, 1), REPLICATION), made, sizeof made, &len);
        if (code != REPLIQ_OK)
            return code;
        if ((from = strstr(made, begin)) == NULL && now_ms() >= end)
            return wrong("no target says %s in %s", arg(of, 2), made);
        if (from == NULL) {
            sleep_ms(5);
            continue;
        }
        for (from += strlen("\"last_error\":\""); *from != '"' && *from != '\0'; *to++ = *from++)
            if (*from == '\\')
                from++;
        *to = '\0';
        if (print_errors)
            printf("refused %s:%zu %s\n", script_name, script_line, made);
        return REPLIQ_OK;
    }
}

static int copy_folder(const char *from, const char *to)
{
    DIR *entries = opendir(from);
    struct dirent *entry;
    int good = entries != NULL && mkdir(to, 0700) == 0;
    while (good && (entry = readdir(entries)) != NULL) {
        char source[8192], target[8192], part[65536];
        FILE *in, *out;
        size_t n;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (snprintf(source, sizeof source, "%s/%s", from, entry->d_name) >= (int)sizeof source
            || snprintf(target, sizeof target, "%s/%s", to, entry->d_name) >= (int)sizeof target) {
            good = 0;
            break;
        }
        in = fopen(source, "rb");
        out = fopen(target, "wb");
        good = in != NULL && out != NULL;
        while (good && (n = fread(part, 1, sizeof part, in)) > 0)
            good = fwrite(part, 1, n, out) == n;
        good = (in == NULL || (!ferror(in) && fclose(in) == 0)) && (out == NULL || fclose(out) == 0) && good;
    }
    if (entries != NULL)
        closedir(entries);
    return good ? REPLIQ_OK : wrong("cannot copy %s to %s: %s", from, to, strerror(errno));
}

static int copy_store(const step *of)
{
    char from[8192], to[8192];
    snprintf(from, sizeof from, "%s/%s", script_folder, arg(of, 1));
    snprintf(to, sizeof to, "%s/%s", script_folder, arg(of, 2));
    return copy_folder(from, to);
}

static int write_file(const step *of)
{
    char path[8192], *slash;
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", script_folder, arg(of, 1));
    for (slash = strchr(path + strlen(script_folder) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    file = fopen(path, "w");
    if (file == NULL || fwrite(of->words[2].at, 1, of->words[2].len, file) != of->words[2].len)
        return wrong("cannot write %s", path);
    return fclose(file) == 0 ? REPLIQ_OK : wrong("cannot write %s", path);
}

static int on_queue(const step *of, const char *verb)
{
    repliq_store *store = handle(arg(of, 1), STORE);
    if (strcmp(verb, "queue") == 0) {
        repliq_queue found;
        repliq_code code = repliq_store_queue(store, arg(of, 3), &found);
        if (code == REPLIQ_OK)
            make(arg(of, 2), QUEUE)->queue = found;
        return code;
    }
    if (strcmp(verb, "pause") == 0)
        return repliq_queue_pause(store, queue(arg(of, 2)), NULL);
    if (strcmp(verb, "resume") == 0)
        return repliq_queue_resume(store, queue(arg(of, 2)), NULL);
    if (strcmp(verb, "purge") == 0)
        return repliq_queue_purge(store, queue(arg(of, 2)), NULL);
    if (strcmp(verb, "redrive") == 0) {
        repliq_redriven done;
        repliq_code code = repliq_queue_redrive(store, queue(arg(of, 2)), number_of(of, "max"), is_yes(of, "drop"), &done);
        if (code == REPLIQ_OK && (done.done != number(of, 3) || done.refused != number(of, 4)))
            return wrong("%llu were redriven and %llu refused: %s", (unsigned long long)done.done,
                         (unsigned long long)done.refused, done.reason);
        return code;
    }
    return repliq_queue_delete(store, queue(arg(of, 2)), NULL);
}

static int is_one_of(const char *verb, const char *list)
{
    const char *found = strstr(list, verb);
    size_t len = strlen(verb);
    for (; found != NULL; found = strstr(found + 1, verb))
        if ((found == list || found[-1] == ' ') && (found[len] == ' ' || found[len] == '\0'))
            return 1;
    return 0;
}

static int run(const step *of)
{
    const char *verb = arg(of, 0);
    if (strcmp(verb, "open") == 0)
        return open_store(of);
    if (strcmp(verb, "close") == 0) {
        named *one = find(arg(of, 1));
        repliq_code code = one == NULL ? REPLIQ_INVALID : close_one(one);
        if (one != NULL && one->kind != STORE)
            one->kind = NONE;
        return code;
    }
    if (is_one_of(verb, "queue pause resume purge delete redrive"))
        return on_queue(of, verb);
    if (is_one_of(verb, "put put_start"))
        return put(of, strcmp(verb, "put_start") == 0);
    if (is_one_of(verb, "session session_put commit commit_start rollback"))
        return on_session(of, verb);
    if (is_one_of(verb, "id parse_id round_trip_id resolve"))
        return on_identity(of, verb);
    if (is_one_of(verb, "prepare finish prepared"))
        return on_prepared(of, verb);
    if (is_one_of(verb, "connect connect_at"))
        return connect_store(of, strcmp(verb, "connect_at") == 0);
    if (strcmp(verb, "local") == 0)
        return REPLIQ_OK;
    if (is_one_of(verb, "consumer consumer_delete ack reject renew seek watch"))
        return on_consumer(of, verb);
    if (is_one_of(verb, "receive session_receive browse"))
        return receive(of, verb);
    if (is_one_of(verb, "wait parse round_trip same differ join"))
        return on_tokens(of, verb);
    if (strcmp(verb, "check") == 0)
        return check(of);
    if (strcmp(verb, "drain") == 0)
        return drain(of);
    if (strcmp(verb, "status") == 0)
        return status(of);
    if (strcmp(verb, "password") == 0)
        return repliq_store_password(handle(arg(of, 1), STORE), of->words[2].at, of->words[2].len);
    if (strcmp(verb, "server") == 0)
        return open_server(of);
    if (is_one_of(verb, "replication target target_at send start_job end_job abort_job stop"))
        return on_replication(of, verb);
    if (strcmp(verb, "talk") == 0)
        return talk(of);
    if (strcmp(verb, "backup") == 0)
        return back_up(of);
    if (strcmp(verb, "restore") == 0)
        return restore_store(of);
    if (strcmp(verb, "told") == 0)
        return told(of);
    if (strcmp(verb, "copy") == 0)
        return copy_store(of);
    if (strcmp(verb, "file") == 0)
        return write_file(of);
    if (strcmp(verb, "sleep") == 0)
        return sleep_ms(number(of, 1));
    if (strcmp(verb, "snapshot") == 0) {
        repliq_snapshot *snapshot;
        repliq_code code = repliq_snapshot_open(handle(arg(of, 2), STORE), &snapshot);
        if (code == REPLIQ_OK)
            keep(arg(of, 1), SNAPSHOT, snapshot);
        return code;
    }
    if (strcmp(verb, "port") == 0) {
        repliq_port *port;
        repliq_code code = repliq_port_open(&port);
        if (code == REPLIQ_OK)
            keep(arg(of, 1), PORT, port);
        return code;
    }
    return wrong("no verb %s", verb);
}

/* A text of C ends at its first NUL, so a name with one inside cannot be said; C leaves such steps out. */
static int can_be_said(const step *of)
{
    size_t at;
    if (strcmp(arg(of, 0), "queue") != 0 && strcmp(arg(of, 0), "consumer") != 0)
        return 1;
    for (at = 0; at < of->word_count; at++)
        if (memchr(of->words[at].at, '\0', of->words[at].len) != NULL)
            return 0;
    return 1;
}

static int holds(const step *of)
{
    repliq_error error = REPLIQ_ERROR;
    int code = run(of);
    if (code == HOLDS_NOT)
        return 0;
    if (code == REPLIQ_OK) {
        if (of->code[0] != '\0')
            wrong("succeeded, not %s", of->code);
        return of->code[0] == '\0';
    }
    repliq_error_last(&error);
    if (error.code == code && strcmp(of->code, repliq_code_name(code)) == 0
        && (of->index < 0 || (long)error.message_index == of->index)) {
        if (print_errors)
            printf("refused %s:%zu %s: %s\n", script_name, script_line, repliq_code_name(code), error.text);
        return 1;
    }
    wrong("%s: %s (message %ld)", repliq_code_name(code), error.text, (long)(int32_t)error.message_index);
    return 0;
}

static int run_script(const char *path, size_t *steps)
{
    FILE *file = fopen(path, "r");
    static char line[65536];
    static int scripts;
    size_t at = 0, i;
    int good = 1;
    snprintf(script_folder, sizeof script_folder, "%s/%d", folder, scripts++);
    if (file == NULL || mkdir(script_folder, 0700) != 0) {
        printf("FAILED %s: %s\n", path, strerror(errno));
        return 0;
    }
    script_name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    while (good && fgets(line, sizeof line, file) != NULL) {
        step one;
        script_line = ++at;
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || line[strspn(line, " ")] == '\0')
            continue;
        ++*steps;
        good = parse(line, &one) == 0;
        if (good && way != NULL && strcmp(arg(&one, 0), "local") == 0) {
            forget(&one);
            break;
        }
        good = good && (!can_be_said(&one) || holds(&one));
        forget(&one);
    }
    fclose(file);
    if (!good)
        printf("FAILED %s:%zu: %s\n", path, at, why);
    forget_read();
    for (i = 0; i < NAMES_MAX; i++) {
        close_one(&names[i]);
        memset(&names[i], 0, sizeof names[i]);
    }
    return good;
}

int main(int argc, char **argv)
{
    size_t steps = 0;
    int passed = 0, failed = 0, i;
    if (argc > 1 && strcmp(argv[1], "-e") == 0) {
        print_errors = 1;
        argc--, argv++;
    }
    if (argc > 2 && strcmp(argv[1], "-r") == 0) {
        way = argv[2];
        argc -= 2, argv += 2;
    }
    if (argc < 3) {
        fprintf(stderr, "usage: conformance [-e] [-r tcp|unix] FOLDER SCRIPT...\n");
        return 2;
    }
    folder = argv[1];
    for (i = 2; i < argc; i++) {
        if (run_script(argv[i], &steps))
            passed++;
        else
            failed++;
    }
    printf("conformance c%s%s: %d scripts, %zu steps\n", way != NULL ? " over " : "", way != NULL ? way : "", argc - 2,
           steps);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed > 0;
}
