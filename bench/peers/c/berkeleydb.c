/*
 * Berkeley DB: the Queue access method, records of one length, pages of 16 KiB, extents, a cache of 512 MiB, a log buffer of
 * 16 MiB. `power`: its default, each commit syncs the log. `process`: DB_TXN_NOSYNC, 1,000 messages a transaction.
 *
 * put.
 */
#include "contest.h"
#include <db.h>

static DB_ENV *environment;
static DB *queue;

static void check(int code, const char *what)
{
    if (code)
        fail(what, db_strerror(code));
}

static const char *contestant_open(void)
{
    uint32_t flags = DB_CREATE | DB_INIT_TXN | DB_INIT_LOG | DB_INIT_LOCK | DB_INIT_MPOOL | DB_THREAD | DB_PRIVATE;
    check(db_env_create(&environment, 0), "create the environment");
    check(environment->set_cachesize(environment, 0, 512u << 20, 1), "set the cache");
    check(environment->set_lg_bsize(environment, 16u << 20), "set the log buffer");
    check(environment->set_lg_max(environment, 256u << 20), "set the size of a log");
    check(environment->log_set_config(environment, DB_LOG_AUTO_REMOVE, 1), "configure the log");
    check(environment->set_lk_max_locks(environment, 100000), "set the locks");
    check(environment->set_lk_max_objects(environment, 100000), "set the locks");
    check(environment->set_lk_detect(environment, DB_LOCK_DEFAULT), "set the detector");
    if (!options.power)
        check(environment->set_flags(environment, DB_TXN_NOSYNC, 1), "set the durability");
    check(environment->open(environment, options.dir, flags, 0644), "open the environment");
    check(db_create(&queue, environment, 0), "create the queue");
    check(queue->set_re_len(queue, (uint32_t)options.size), "set the length");
    check(queue->set_pagesize(queue, 16384), "set the page");
    check(queue->set_q_extentsize(queue, 4096), "set the extents");
    check(queue->open(queue, NULL, "queue.db", NULL, DB_QUEUE, DB_CREATE | DB_AUTO_COMMIT | DB_THREAD, 0644), "open");
    if (!options.power && options.batch < 1000)
        options.batch = 1000;
    return db_version(NULL, NULL, NULL);
}

static void contestant_commit(uint64_t thread)
{
    DB_TXN *transaction;
    (void)thread;
    check(environment->txn_begin(environment, NULL, &transaction, 0), "begin");
    for (uint64_t at = 0; at < options.batch; at++) {
        db_recno_t number = 0;
        DBT key, value;
        memset(&key, 0, sizeof key);
        memset(&value, 0, sizeof value);
        key.data = &number;
        key.ulen = sizeof number;
        key.flags = DB_DBT_USERMEM;
        value.data = payload;
        value.size = (uint32_t)options.size;
        check(queue->put(queue, transaction, &key, &value, DB_APPEND), "append");
    }
    check(transaction->commit(transaction, 0), "commit");
}

static void contestant_stint(struct stint *stint)
{
    /* Nothing is thrown away: a queue of this kind gives its extents back as they are consumed, and only so. */
    check(environment->txn_checkpoint(environment, 0, 0, 0), "checkpoint");
    commits(stint);
}
