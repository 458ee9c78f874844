/*
 * What a contestant says and hears, in C; bench/peers/rust/src/contest.rs says it in full.
 *
 *     PROGRAM WORKLOAD --dir D [--size N] [--level power|process] [--threads N] [--window N] [--batch N] [--port N]
 *
 * opens, prints `ready VERSION`, and does one stint for each line `go MESSAGES SECONDS` of its standard input: throws away
 * what the stint before left, warms up, prints `begin`, works, prints one line of JSON.
 *
 * A program defines the functions below marked so, and includes this file once.
 */
#ifndef CONTEST_H
#define CONTEST_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct options {
    const char *workload, *dir;
    int power;
    uint64_t size, threads, window, batch, port;
};

struct stint {
    uint64_t messages;
    double seconds;
    uint64_t begun_ns;
};

/* Times of calls in nanoseconds. */
struct times {
    uint32_t *ns;
    size_t count, room;
};

static struct options options = {"", "", 1, 100, 1, 1, 1, 0};
static char *payload;

/* The program's own: opens, and returns its version; does one stint. */
static const char *contestant_open(void);
static void contestant_stint(struct stint *stint);

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: cannot %s: %s\n", options.workload, what, why);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void times_add(struct times *times, uint64_t ns)
{
    if (times->count == times->room) {
        times->room = times->room ? 2 * times->room : 4096;
        times->ns = realloc(times->ns, times->room * sizeof *times->ns);
        if (!times->ns)
            fail("keep times", "no memory");
    }
    times->ns[times->count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static int times_compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void begin(struct stint *stint)
{
    puts("begin");
    fflush(stdout);
    stint->begun_ns = now_ns();
}

static int over(const struct stint *stint)
{
    return stint->begun_ns && (double)(now_ns() - stint->begun_ns) >= stint->seconds * 1e9;
}

static void end(const struct stint *stint, uint64_t messages, uint64_t commits, struct times *times)
{
    double seconds = (double)(now_ns() - stint->begun_ns) / 1e9;
    printf("{\"messages\":%llu,\"commits\":%llu,\"seconds\":%.9f", (unsigned long long)messages,
           (unsigned long long)commits, seconds);
    if (times && times->count) {
        size_t last = times->count - 1;
        qsort(times->ns, times->count, sizeof *times->ns, times_compare);
        printf(",\"p50_us\":%.3f,\"p99_us\":%.3f,\"p9999_us\":%.3f", times->ns[last / 2] / 1e3,
               times->ns[(size_t)((double)last * 0.99)] / 1e3, times->ns[(size_t)((double)last * 0.9999)] / 1e3);
    }
    puts("}");
    fflush(stdout);
    if (times)
        free(times->ns);
}

/* ---- commits by threads */

/* The program's own: one commit of options.batch messages by this thread. */
static void contestant_commit(uint64_t thread);

struct share {
    pthread_t handle;
    const struct stint *stint;
    uint64_t thread, commits, done;
    int timed;
    struct times times;
};

static void *share_run(void *argument)
{
    struct share *share = argument;
    while (share->done < share->commits && !over(share->stint)) {
        if (share->timed) {
            uint64_t start = now_ns();
            contestant_commit(share->thread);
            times_add(&share->times, now_ns() - start);
        } else {
            contestant_commit(share->thread);
        }
        share->done++;
    }
    return NULL;
}

static inline void commits(struct stint *stint)
{
    struct share shares[64];
    struct times times = {NULL, 0, 0};
    uint64_t done = 0, threads = options.threads > 64 ? 64 : options.threads;
    uint64_t each = (stint->messages + threads * options.batch - 1) / (threads * options.batch);
    for (uint64_t at = 0; at < (each / 10 < 20 ? each / 10 + 1 : 20); at++)
        contestant_commit(0);
    begin(stint);
    for (uint64_t at = 0; at < threads; at++) {
        shares[at] = (struct share){.stint = stint, .thread = at, .commits = each, .timed = options.power};
        if (threads == 1)
            share_run(&shares[at]);
        else if (pthread_create(&shares[at].handle, NULL, share_run, &shares[at]))
            fail("start a thread", "the system refused");
    }
    for (uint64_t at = 0; at < threads; at++) {
        if (threads > 1)
            pthread_join(shares[at].handle, NULL);
        done += shares[at].done;
    }
    for (uint64_t at = 0; at < threads; at++) {
        for (size_t time = 0; time < shares[at].times.count; time++)
            times_add(&times, shares[at].times.ns[time]);
        free(shares[at].times.ns);
    }
    end(stint, done * options.batch, done, &times);
}

int main(int count, char **words)
{
    char line[256];
    if (count > 1)
        options.workload = words[1];
    for (int at = 2; at + 1 < count; at += 2) {
        const char *name = words[at], *value = words[at + 1];
        uint64_t number = strtoull(value, NULL, 10);
        if (!strcmp(name, "--dir"))
            options.dir = value;
        else if (!strcmp(name, "--level"))
            options.power = !strcmp(value, "power");
        else if (!strcmp(name, "--size"))
            options.size = number;
        else if (!strcmp(name, "--threads"))
            options.threads = number;
        else if (!strcmp(name, "--window"))
            options.window = number;
        else if (!strcmp(name, "--batch"))
            options.batch = number;
        else if (!strcmp(name, "--port"))
            options.port = number;
        else
            fail("read the options", name);
    }
    payload = malloc(options.size + 1);
    memset(payload, 'x', options.size);
    printf("ready %s\n", contestant_open());
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        struct stint stint = {0, 0, 0};
        unsigned long long messages;
        if (sscanf(line, "go %llu %lf", &messages, &stint.seconds) != 2)
            fail("understand", line);
        stint.messages = messages;
        contestant_stint(&stint);
    }
    return 0;
}

#endif
