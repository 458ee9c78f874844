/*
 * LMDB: a map of 16 GiB, ascending keys with MDB_APPEND. `power`: its default, a data flush and a flush of the meta page a
 * commit. `process`: MDB_NOSYNC and MDB_WRITEMAP, 1,000 messages a transaction, which is what makes it fast.
 *
 * put, drain (10,000 deleted a transaction), scan.
 */
#include "contest.h"
#include <lmdb.h>

#define UNSYNCED 1000

static MDB_env *environment;
static MDB_dbi queue;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static uint64_t next_key = 1;

static void check(int code, const char *what)
{
    if (code)
        fail(what, mdb_strerror(code));
}

static uint64_t swapped(uint64_t number)
{
    return __builtin_bswap64(number);
}

static const char *contestant_open(void)
{
    MDB_txn *transaction;
    check(mdb_env_create(&environment), "create the environment");
    check(mdb_env_set_mapsize(environment, (size_t)16 << 30), "set the size of the map");
    check(mdb_env_open(environment, options.dir, options.power ? 0 : MDB_NOSYNC | MDB_WRITEMAP, 0644), "open");
    check(mdb_txn_begin(environment, NULL, 0, &transaction), "begin");
    check(mdb_dbi_open(transaction, NULL, MDB_CREATE, &queue), "open the database");
    check(mdb_txn_commit(transaction), "commit");
    if (!options.power && options.batch < UNSYNCED)
        options.batch = UNSYNCED;
    return mdb_version(NULL, NULL, NULL);
}

static void put(uint64_t count)
{
    MDB_txn *transaction;
    check(mdb_txn_begin(environment, NULL, 0, &transaction), "begin");
    for (uint64_t at = 0; at < count; at++) {
        uint64_t key = swapped(next_key++);
        MDB_val name = {sizeof key, &key}, value = {options.size, payload};
        check(mdb_put(transaction, queue, &name, &value, MDB_APPEND), "put");
    }
    check(mdb_txn_commit(transaction), "commit");
}

static void contestant_commit(uint64_t thread)
{
    (void)thread;
    /* One writer at a time is its rule; taking turns here spares its own lock the crowd. */
    pthread_mutex_lock(&turn);
    put(options.batch);
    pthread_mutex_unlock(&turn);
}

static void clear(void)
{
    MDB_txn *transaction;
    check(mdb_txn_begin(environment, NULL, 0, &transaction), "begin");
    check(mdb_drop(transaction, queue, 0), "empty the database");
    check(mdb_txn_commit(transaction), "commit");
}

static uint64_t take(int remove, uint64_t max)
{
    MDB_txn *transaction;
    MDB_cursor *cursor;
    MDB_val name, value;
    uint64_t done = 0, sum = 0;
    check(mdb_txn_begin(environment, NULL, remove ? 0 : MDB_RDONLY, &transaction), "begin");
    check(mdb_cursor_open(transaction, queue, &cursor), "open a cursor");
    for (int code = mdb_cursor_get(cursor, &name, &value, MDB_FIRST); !code && done < max;
         code = mdb_cursor_get(cursor, &name, &value, MDB_NEXT)) {
        sum += value.mv_size + *(unsigned char *)value.mv_data;
        if (remove)
            check(mdb_cursor_del(cursor, 0), "delete");
        done++;
    }
    mdb_cursor_close(cursor);
    check(mdb_txn_commit(transaction), "commit");
    return sum ? done : 0;
}

static void contestant_stint(struct stint *stint)
{
    uint64_t done = 0, some;
    int drain = !strcmp(options.workload, "drain");
    clear();
    if (!strcmp(options.workload, "put")) {
        commits(stint);
        return;
    }
    for (uint64_t at = 0; at < stint->messages; at += 10000)
        put(10000);
    begin(stint);
    if (drain)
        while ((some = take(1, 10000)) > 0 && !over(stint))
            done += some;
    else
        done = take(0, UINT64_MAX);
    end(stint, done, done / 10000, NULL);
}
