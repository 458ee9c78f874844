/*
 * Put before the C library with LD_PRELOAD: reads and writes at a place of a file do less than they were asked for, as
 * they may near a full disk, or are interrupted.
 *
 *     SHORT_CALL  pread or pwrite       SHORT_AT   the call that is met first, from 1
 *     SHORT_TO    half, one or eintr    SHORT_ON   set: each second one behind it as well
 *     SHORT_LOG   a file that gets one byte for each call that was met
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef ssize_t (*reading)(int, void *, size_t, off64_t);
typedef ssize_t (*writing)(int, const void *, size_t, off64_t);

static void *behind(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

/* How many bytes of n the call may do; -1 where it is interrupted. */
static ssize_t allowed(const char *call, size_t n)
{
    static atomic_long calls;
    const char *chosen = getenv("SHORT_CALL"), *at = getenv("SHORT_AT"), *to = getenv("SHORT_TO");
    const char *log = getenv("SHORT_LOG");
    long number, first;
    int file;

    if (!chosen || !at || !to || !log || strcmp(chosen, call) != 0 || n < 2)
        return (ssize_t)n;
    number = atomic_fetch_add(&calls, 1) + 1;
    first = atol(at);
    if (number != first && !(getenv("SHORT_ON") && number > first && (number - first) % 2 == 0))
        return (ssize_t)n;
    file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || write(file, "x", 1) != 1)
        abort();
    close(file);
    if (strcmp(to, "eintr") == 0) {
        errno = EINTR;
        return -1;
    }
    return strcmp(to, "one") == 0 ? 1 : (ssize_t)(n / 2);
}

static ssize_t short_read(reading real, int file, void *bytes, size_t n, off64_t at)
{
    ssize_t most = allowed("pread", n);
    return most < 0 ? most : real(file, bytes, (size_t)most, at);
}

static ssize_t short_write(writing real, int file, const void *bytes, size_t n, off64_t at)
{
    ssize_t most = allowed("pwrite", n);
    return most < 0 ? most : real(file, bytes, (size_t)most, at);
}

ssize_t pread64(int file, void *bytes, size_t n, off64_t at)
{
    static reading real;
    if (!real)
        *(void **)&real = behind("pread64");
    return short_read(real, file, bytes, n, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t n, off64_t at)
{
    static writing real;
    if (!real)
        *(void **)&real = behind("pwrite64");
    return short_write(real, file, bytes, n, at);
}

/* The library itself calls this one. */
ssize_t pread(int file, void *bytes, size_t n, off_t at)
{
    return pread64(file, bytes, n, at);
}
