/* Preloaded into the daemon: a place in a file that the disk cannot read any more, as reads show it on Linux:
 * what comes before it, and then EIO. Writing is not harmed.
 *
 *   FIELDPOST_BAD_FILE  the file; another one that takes its name is well
 *   FIELDPOST_BAD_AT    where the page begins
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static struct stat bad;
static off_t bad_at;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("FIELDPOST_BAD_FILE"), *at = getenv("FIELDPOST_BAD_AT");
    if (file == NULL || at == NULL || stat(file, &bad) != 0) {
        fprintf(stderr, "bad_sector: FIELDPOST_BAD_FILE, which exists, and FIELDPOST_BAD_AT are needed\n");
        abort();
    }
    bad_at = atoll(at);
}

/* How much of a read comes before the place: all where it is not met, -1 where nothing does. */
static ssize_t readable(int file, off_t from, size_t bytes) {
    struct stat status;
    if (fstat(file, &status) != 0 || status.st_dev != bad.st_dev || status.st_ino != bad.st_ino) return bytes;
    if (from >= bad_at + PAGE || from + (off_t)bytes <= bad_at) return bytes;
    return from < bad_at ? bad_at - from : -1;
}

static ssize_t pread_around(int file, void *into, size_t bytes, off_t from) {
    ssize_t good = readable(file, from, bytes);
    if (good < 0) {
        errno = EIO;
        return -1;
    }
    return REAL(pread64)(file, into, good, from);
}

ssize_t pread(int file, void *into, size_t bytes, off_t from) { return pread_around(file, into, bytes, from); }

ssize_t pread64(int file, void *into, size_t bytes, off64_t from) { return pread_around(file, into, bytes, from); }

ssize_t read(int file, void *into, size_t bytes) {
    off_t from = lseek(file, 0, SEEK_CUR);
    ssize_t good = from < 0 ? (ssize_t)bytes : readable(file, from, bytes);
    if (good < 0) {
        errno = EIO;
        return -1;
    }
    return REAL(read)(file, into, good);
}
