/*
 * RocksDB: big-endian keys, four write buffers of 128 MiB, no compression, pipelined writes, `sync` for `power`. At
 * `process` the write-ahead log is written and not synced.
 *
 * put, drain (10,000 by an iterator, then a DeleteRange that is synced), scan.
 */
#include "contest.h"
#include <rocksdb/c.h>

static rocksdb_t *database;
static rocksdb_writeoptions_t *writing, *unsynced;
static rocksdb_readoptions_t *reading;
static uint64_t next_key = 1;

static void check(char *error, const char *what)
{
    if (error)
        fail(what, error);
}

static const char *contestant_open(void)
{
    char *error = NULL;
    rocksdb_options_t *settings = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(settings, 1);
    rocksdb_options_set_write_buffer_size(settings, (size_t)128 << 20);
    rocksdb_options_set_max_write_buffer_number(settings, 4);
    rocksdb_options_set_compression(settings, rocksdb_no_compression);
    rocksdb_options_set_enable_pipelined_write(settings, 1);
    rocksdb_options_set_recycle_log_file_num(settings, 4);
    database = rocksdb_open(settings, options.dir, &error);
    check(error, "open");
    writing = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(writing, (unsigned char)options.power);
    unsynced = rocksdb_writeoptions_create();
    reading = rocksdb_readoptions_create();
    return "7.8.3";
}

static void put(rocksdb_writeoptions_t *how, uint64_t count)
{
    char *error = NULL;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    uint64_t first = __atomic_fetch_add(&next_key, count, __ATOMIC_RELAXED);
    for (uint64_t at = first; at < first + count; at++) {
        uint64_t key = __builtin_bswap64(at);
        rocksdb_writebatch_put(batch, (char *)&key, sizeof key, payload, options.size);
    }
    rocksdb_write(database, how, batch, &error);
    check(error, "write");
    rocksdb_writebatch_destroy(batch);
}

static void contestant_commit(uint64_t thread)
{
    (void)thread;
    put(writing, options.batch);
}

static void drop_before(uint64_t end_key, rocksdb_writeoptions_t *how)
{
    char *error = NULL;
    uint64_t from = 0, to = __builtin_bswap64(end_key);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_delete_range(batch, (char *)&from, sizeof from, (char *)&to, sizeof to);
    rocksdb_write(database, how, batch, &error);
    check(error, "delete");
    rocksdb_writebatch_destroy(batch);
}

static void contestant_stint(struct stint *stint)
{
    uint64_t done = 0, sum = 0, key;
    int drain = !strcmp(options.workload, "drain");
    size_t length;
    rocksdb_iterator_t *iterator;
    drop_before(next_key, unsynced);
    if (!strcmp(options.workload, "put")) {
        commits(stint);
        return;
    }
    key = __builtin_bswap64(next_key);
    for (uint64_t at = 0; at < stint->messages; at += 10000)
        put(unsynced, 10000);
    begin(stint);
    iterator = rocksdb_create_iterator(database, reading);
    for (rocksdb_iter_seek(iterator, (char *)&key, sizeof key); rocksdb_iter_valid(iterator);
         rocksdb_iter_next(iterator)) {
        uint64_t found;
        memcpy(&found, rocksdb_iter_key(iterator, &length), sizeof found);
        sum += (unsigned char)*rocksdb_iter_value(iterator, &length);
        done++;
        if (drain && done % 10000 == 0) {
            drop_before(__builtin_bswap64(found) + 1, writing);
            if (over(stint))
                break;
        }
    }
    rocksdb_iter_destroy(iterator);
    end(stint, sum ? done : 0, done / 10000, NULL);
}
