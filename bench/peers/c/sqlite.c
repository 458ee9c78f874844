/*
 * SQLite: WAL, synchronous=FULL (`process`: OFF, 1,000 messages a transaction), a cache of 256 MiB, one connection behind a
 * mutex, prepared statements.
 *
 * put, drain (10,000 deleted a transaction), scan.
 */
#include "contest.h"
#include <sqlite3.h>

#define UNSYNCED 1000

static sqlite3 *database;
static sqlite3_stmt *insert, *begin_it, *commit_it, *take, *drop;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void check(int code, const char *what)
{
    if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW)
        fail(what, sqlite3_errmsg(database));
}

static void run(const char *text)
{
    check(sqlite3_exec(database, text, NULL, NULL, NULL), text);
}

static sqlite3_stmt *prepare(const char *text)
{
    sqlite3_stmt *statement;
    check(sqlite3_prepare_v2(database, text, -1, &statement, NULL), text);
    return statement;
}

static void step(sqlite3_stmt *statement)
{
    check(sqlite3_step(statement), "step");
    check(sqlite3_reset(statement), "reset");
}

static const char *contestant_open(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/queue.db", options.dir);
    check(sqlite3_open(path, &database), "open");
    run("PRAGMA journal_mode=WAL");
    run(options.power ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");
    run("PRAGMA cache_size=-262144");
    run("PRAGMA mmap_size=4294967296");
    run("CREATE TABLE IF NOT EXISTS queue (id INTEGER PRIMARY KEY, payload BLOB)");
    insert = prepare("INSERT INTO queue (payload) VALUES (?1)");
    begin_it = prepare("BEGIN IMMEDIATE");
    commit_it = prepare("COMMIT");
    take = prepare("SELECT id, payload FROM queue ORDER BY id LIMIT ?1");
    drop = prepare("DELETE FROM queue WHERE id <= ?1");
    if (!options.power && options.batch < UNSYNCED)
        options.batch = UNSYNCED;
    return sqlite3_libversion();
}

static void put(uint64_t count)
{
    if (count > 1)
        step(begin_it);
    for (uint64_t at = 0; at < count; at++) {
        sqlite3_bind_blob(insert, 1, payload, (int)options.size, SQLITE_STATIC);
        step(insert);
    }
    if (count > 1)
        step(commit_it);
}

static void contestant_commit(uint64_t thread)
{
    (void)thread;
    pthread_mutex_lock(&turn);
    put(options.batch);
    pthread_mutex_unlock(&turn);
}

/* Reads so many; the last id, or 0. */
static sqlite3_int64 read_some(sqlite3_int64 max, uint64_t *done)
{
    sqlite3_int64 last = 0;
    uint64_t sum = 0;
    sqlite3_bind_int64(take, 1, max);
    while (sqlite3_step(take) == SQLITE_ROW) {
        last = sqlite3_column_int64(take, 0);
        sum += *(const unsigned char *)sqlite3_column_blob(take, 1);
        ++*done;
    }
    sqlite3_reset(take);
    return sum ? last : 0;
}

static void contestant_stint(struct stint *stint)
{
    uint64_t done = 0;
    run("DELETE FROM queue");
    if (!strcmp(options.workload, "put")) {
        commits(stint);
        return;
    }
    for (uint64_t at = 0; at < stint->messages; at += 10000)
        put(10000);
    begin(stint);
    if (!strcmp(options.workload, "scan")) {
        read_some(-1, &done);
    } else {
        sqlite3_int64 last;
        while ((last = read_some(10000, &done)) > 0 && !over(stint)) {
            sqlite3_bind_int64(drop, 1, last);
            step(drop);
        }
    }
    end(stint, done, done / 10000, NULL);
}
