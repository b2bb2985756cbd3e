/* Preloaded into the daemon: writes down, in order, everything that it does to the files below one
 * directory, so that the tests can make the directory as a power cut at any moment would have left it.
 *
 *   FIELDPOST_JOURNAL       the file to write to
 *   FIELDPOST_JOURNAL_ROOT  the directory that is watched, an absolute path
 *
 * A layer above the file system, and not a block device: it needs no privileges, sees each single call,
 * and forgets more than a device does. sync_file_range counts for nothing, for it flushes no drive.
 *
 * Each entry: one byte for what was done, two 64-bit numbers, the lengths of two strings as 32-bit
 * numbers, and the strings; all in the machine's byte order. tests/support/powercut.rs reads it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static char root[PATH_MAX];
static dev_t device;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("FIELDPOST_JOURNAL"), *watched = getenv("FIELDPOST_JOURNAL_ROOT");
    struct stat status;
    if (file == NULL || watched == NULL || stat(watched, &status) != 0) {
        fprintf(stderr, "journal: FIELDPOST_JOURNAL and an existing FIELDPOST_JOURNAL_ROOT are needed\n");
        abort();
    }
    snprintf(root, sizeof root, "%s", watched);
    device = status.st_dev;
    journal = REAL(open64)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0) {
        perror("journal");
        abort();
    }
}

static void note(char what, uint64_t a, uint64_t b, const void *one, uint32_t one_bytes, const void *two,
                 uint32_t two_bytes) {
    struct __attribute__((packed)) {
        char what;
        uint64_t a, b;
        uint32_t one_bytes, two_bytes;
    } head = {what, a, b, one_bytes, two_bytes};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)one, one_bytes}, {(void *)two, two_bytes}};
    ssize_t all = sizeof head + one_bytes + two_bytes;
    if (REAL(writev)(journal, parts, 3) != all) {
        perror("journal");
        abort();
    }
}

/* The absolute path of a name, if it is below the watched directory. */
static int watched(int directory, const char *name, char path[PATH_MAX]) {
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        char link[64], base[PATH_MAX];
        if (directory == AT_FDCWD) {
            snprintf(link, sizeof link, "/proc/self/cwd");
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        }
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
        if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) return 0;
    }
    size_t length = strlen(root);
    return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* What an open file is, if it may be one of those watched: the journal's reader knows which are. */
static int is_file(int file, struct stat *status) {
    return fstat(file, status) == 0 && status->st_dev == device && S_ISREG(status->st_mode);
}

static int opened(int (*real)(int, const char *, int, ...), int directory, const char *name, int flags,
                  mode_t mode) {
    char path[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !watched(directory, name, path))
        return real(directory, name, flags, mode);
    pthread_mutex_lock(&order);
    int is_new = faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    int file = real(directory, name, flags, mode);
    int error = errno;
    struct stat status;
    if (file >= 0 && is_file(file, &status)) {
        if (is_new)
            note('L', status.st_ino, 0, path, strlen(path), NULL, 0);
        else if (flags & O_TRUNC)
            note('T', status.st_ino, 0, NULL, 0, NULL, 0);
    }
    pthread_mutex_unlock(&order);
    errno = error;
    return file;
}

#define MODE(flags, mode)                          \
    mode_t mode = 0;                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {         \
        va_list rest;                              \
        va_start(rest, flags);                     \
        mode = va_arg(rest, mode_t);               \
        va_end(rest);                              \
    }

int open(const char *name, int flags, ...) {
    MODE(flags, mode)
    return opened(REAL(openat), AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...) {
    MODE(flags, mode)
    return opened(REAL(openat64), AT_FDCWD, name, flags, mode);
}
int openat(int directory, const char *name, int flags, ...) {
    MODE(flags, mode)
    return opened(REAL(openat), directory, name, flags, mode);
}
int openat64(int directory, const char *name, int flags, ...) {
    MODE(flags, mode)
    return opened(REAL(openat64), directory, name, flags, mode);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    struct stat status;
    if (!is_file(file, &status)) return REAL(pwrite64)(file, bytes, count, offset);
    pthread_mutex_lock(&order);
    ssize_t written = REAL(pwrite64)(file, bytes, count, offset);
    int error = errno;
    if (written > 0) note('W', status.st_ino, offset, bytes, written, NULL, 0);
    pthread_mutex_unlock(&order);
    errno = error;
    return written;
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    return pwrite64(file, bytes, count, offset);
}

ssize_t write(int file, const void *bytes, size_t count) {
    struct stat status;
    if (!is_file(file, &status)) return REAL(write)(file, bytes, count);
    pthread_mutex_lock(&order);
    off_t offset = fcntl(file, F_GETFL) & O_APPEND ? lseek(file, 0, SEEK_END) : lseek(file, 0, SEEK_CUR);
    ssize_t written = REAL(write)(file, bytes, count);
    int error = errno;
    if (written > 0) note('W', status.st_ino, offset, bytes, written, NULL, 0);
    pthread_mutex_unlock(&order);
    errno = error;
    return written;
}

/* No part of the queue writes this way; should one begin to, this must learn it. */
ssize_t writev(int file, const struct iovec *parts, int count) {
    struct stat status;
    if (is_file(file, &status)) {
        fprintf(stderr, "journal: writev to a file is not written down\n");
        abort();
    }
    return REAL(writev)(file, parts, count);
}

int ftruncate64(int file, off64_t length) {
    pthread_mutex_lock(&order);
    struct stat status;
    int result = REAL(ftruncate64)(file, length);
    int error = errno;
    if (result == 0 && is_file(file, &status)) note('T', status.st_ino, length, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&order);
    errno = error;
    return result;
}
int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

static int synced(int (*real)(int), int file) {
    struct stat status;
    pthread_mutex_lock(&order);
    int result = real(file);
    int error = errno;
    if (result == 0 && fstat(file, &status) == 0 && status.st_dev == device) {
        if (S_ISREG(status.st_mode)) note('S', status.st_ino, 0, NULL, 0, NULL, 0);
        char path[PATH_MAX];
        if (S_ISDIR(status.st_mode) && watched(file, ".", path)) note('D', 0, 0, NULL, 0, NULL, 0);
    }
    pthread_mutex_unlock(&order);
    errno = error;
    return result;
}
int fsync(int file) { return synced(REAL(fsync), file); }
int fdatasync(int file) { return synced(REAL(fdatasync), file); }

int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    char old[PATH_MAX], new[PATH_MAX];
    pthread_mutex_lock(&order);
    int both = watched(from_directory, from, old) && watched(to_directory, to, new);
    int result = REAL(renameat)(from_directory, from, to_directory, to);
    int error = errno;
    if (result == 0 && both) note('R', 0, 0, old, strlen(old), new, strlen(new));
    pthread_mutex_unlock(&order);
    errno = error;
    return result;
}
int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int unlinkat(int directory, const char *name, int flags) {
    char path[PATH_MAX];
    pthread_mutex_lock(&order);
    int known = watched(directory, name, path);
    int result = REAL(unlinkat)(directory, name, flags);
    int error = errno;
    if (result == 0 && known) note('U', 0, 0, path, strlen(path), NULL, 0);
    pthread_mutex_unlock(&order);
    errno = error;
    return result;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdir(const char *name, mode_t mode) {
    char path[PATH_MAX];
    pthread_mutex_lock(&order);
    int result = REAL(mkdir)(name, mode);
    int error = errno;
    if (result == 0 && watched(AT_FDCWD, name, path)) note('M', 0, 0, path, strlen(path), NULL, 0);
    pthread_mutex_unlock(&order);
    errno = error;
    return result;
}
