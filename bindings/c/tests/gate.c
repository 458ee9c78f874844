/* A disk that can be made slow, and made to fail, by files: preloaded, it stands between a program and its syncs.
 *
 * $REPLIQ_GATE names a folder. While `shut` lies there every sync waits; while `broken` does, every sync fails. Each one
 * that waits leaves `waiting` there. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int there(const char *name, int made)
{
    char path[4096];
    const char *gate = getenv("REPLIQ_GATE");
    int file;
    if (gate == NULL || snprintf(path, sizeof path, "%s/%s", gate, name) >= (int)sizeof path)
        return 0;
    if (!made)
        return access(path, F_OK) == 0;
    file = open(path, O_CREAT | O_WRONLY, 0600);
    return file < 0 ? 0 : close(file) == 0;
}

int fdatasync(int file)
{
    while (there("shut", 0)) {
        there("waiting", 1);
        usleep(500);
    }
    if (there("broken", 0)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, file);
}
