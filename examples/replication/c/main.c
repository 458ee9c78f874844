/*
 * The replication tutorial: one root queue, two servers, jobs that arrive whole or not at all.
 *
 * Usage: replication [DIRECTORY [ADDRESS ADDRESS]]
 *
 * The servers are hello_world of any language. Neither has to run when this starts: what is sent is on this
 * disk, and goes out as soon as a server is there.
 */
#include <repliq.h>

#include <errno.h>
#include <sys/stat.h>

#include "../../hello_world/c/pack.h"

enum { SAY_HELLO = 0x2002, SLEEP = 0x2003, ECHO = 0x2004 };

/* Says what went wrong with the call before. */
static int fail(const char *what)
{
    repliq_error error = REPLIQ_ERROR;
    repliq_error_last(&error);
    fprintf(stderr, "replication: %s: %s: %s\n", what, repliq_code_name(error.code), error.text);
    return 1;
}

static repliq_code say_hello(repliq_replication *replication, const char *first, const char *last)
{
    packer packed = {{0}, 0, 0};
    pack_string(&packed, first);
    pack_string(&packed, last);
    return repliq_replication_send(replication, SAY_HELLO, packed.bytes, packed.len);
}

int main(int argc, char **argv)
{
    const char *directory = argc > 1 ? argv[1] : "sp_test";
    const char *local = argc > 2 ? argv[2] : "127.0.0.1:20901";
    const char *linux_address = argc > 3 ? argv[3] : "127.0.0.1:20902";
    char place[4096], local_url[512], linux_url[512];
    packer echo = {{0}, 0, 0}, nap = {{0}, 0, 0};
    repliq_message sleep = REPLIQ_MESSAGE;
    repliq_store_options options = REPLIQ_STORE_OPTIONS;
    repliq_target_options target = REPLIQ_TARGET_OPTIONS;
    repliq_store *store;
    repliq_queue root;
    repliq_replication *replication;
    repliq_result last;

    pack_eleven(&echo, 1700000000000000);
    pack_i32(&nap, 5);
    sleep.kind = SLEEP;
    sleep.payload.data = nap.bytes;
    sleep.payload.len = nap.len;

    if (mkdir(directory, 0777) && errno != EEXIST) {
        perror("replication: cannot make the directory");
        return 1;
    }
    snprintf(place, sizeof place, "%s/hw_root_queue_name.repliq", directory);
    snprintf(local_url, sizeof local_url, "repliq://replication@%s", local);
    snprintf(linux_url, sizeof linux_url, "repliq://remote_rep@%s", linux_address);
    options.password = repliq_text("MyQPassword");
    if (repliq_store_open(place, &options, &store)
        || repliq_store_queue(store, "hw_root_queue_name", &root)
        || repliq_replication_open(store, root, NULL, &replication))
        return fail("cannot open the root queue");
    /* ANCHOR: targets */
    target.plain = REPLIQ_YES;
    target.reconnect_ms_max = 5000;
    target.password = repliq_text("p4localhost");
    if (repliq_replication_add(replication, "Tolocal", local_url, &target))
        return fail("cannot add Tolocal");
    target.password = repliq_text("PassOne");
    if (repliq_replication_add(replication, "ToLinux", linux_url, &target))
        return fail("cannot add ToLinux");
    /* ANCHOR_END: targets */

    /* ANCHOR: job */
    /* A job: both requests or neither. */
    if (repliq_replication_start_job(replication)
        || say_hello(replication, "David", "Young")
        || repliq_replication_send(replication, ECHO, echo.bytes, echo.len)
        || repliq_replication_end_job(replication, NULL))
        return fail("cannot send a job");
    /* ANCHOR_END: job */

    /* Outside a job each request is a transaction of its own; a token tells where in the order it is. */
    if (say_hello(replication, "Jack", "Smith")
        || repliq_replication_send_many(replication, &sleep, 1, &last))
        return fail("cannot send");

    /* A job that is given up leaves nothing, here or at any server. */
    if (repliq_replication_start_job(replication)
        || say_hello(replication, "Nobody", "Here")
        || repliq_replication_abort_job(replication))
        return fail("cannot give up a job");

    /* ANCHOR: wait */
    /* Everything is on this disk now; this waits until it is on the servers' disks. */
    if (repliq_store_wait(store, "target:*", &last.token, 1, 60000))
        return fail("not everybody has it");
    /* ANCHOR_END: wait */
    printf("everybody has it\n");
    repliq_replication_close(replication);
    return repliq_store_close(store) ? fail("cannot close the store") : 0;
}
