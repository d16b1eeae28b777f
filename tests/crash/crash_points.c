/* Counts what a process does to the files below one folder, and kills it at one of these operations.

   Preloaded (LD_PRELOAD), so that native writers (pyarrow, safetensors) are seen as Python is. Nothing happens before
   crash_arm() is called. At the chosen operation of a write, half of its bytes are written first. Each operation
   is also written to a log, with its bytes, from which the test plays power cuts. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, CREATE, WRITE, SYNC, RENAME, MKDIR, UNLINK, RMDIR, TRUNCATE, EXCHANGE };

static char root[PATH_MAX];
static size_t root_length;
static long kill_at, count;
static int log_file = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void crash_arm(const char *folder, long at, int log)
{
    snprintf(root, sizeof root, "%s/", folder);
    kill_at = at;
    count = 0;
    log_file = log;
    root_length = strlen(root);
}

long crash_count(void) { return count; }

static int of_descriptor(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlink, link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
    return n > 0;
}

/* Whether a path is below the folder; then `full` is it. */
static int below(int at, const char *path, char *full)
{
    if (!root_length || !path)
        return 0;
    if (path[0] == '/') {
        snprintf(full, PATH_MAX, "%s", path);
    } else {
        char base[PATH_MAX];
        if (at == AT_FDCWD ? !getcwd(base, sizeof base) : !of_descriptor(at, base))
            return 0;
        if (snprintf(full, PATH_MAX, "%s/%s", base, path) >= PATH_MAX)
            return 0;
    }
    return strncmp(full, root, root_length) == 0 || strncmp(full, root, root_length - 1) == 0;
}

static int fd_below(int fd, char *full)
{
    return root_length && of_descriptor(fd, full) && strncmp(full, root, root_length - 1) == 0;
}

static void out(const void *data, size_t n)
{
    for (const char *at = data; n;) {
        ssize_t done = syscall(SYS_write, log_file, at, n);
        if (done <= 0)
            _exit(99);
        at += done;
        n -= done;
    }
}

static int reached(void)
{
    count++;
    return kill_at && count == kill_at;
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

/* An operation is about to be done. */
static void begin(void)
{
    pthread_mutex_lock(&lock);
    if (reached())
        die();
}

/* It was done. */
static void end(int done, int64_t kind, const char *path, const char *other, int64_t offset, const void *data, int64_t n)
{
    if (log_file >= 0) {
        int64_t size = done && data ? n : 0;
        int64_t head[5] = {done ? kind : NOTHING, (int64_t)strlen(path), other ? (int64_t)strlen(other) : 0, offset, size};
        out(head, sizeof head);
        out(path, head[1]);
        if (other)
            out(other, head[2]);
        out(data, size);
    }
    pthread_mutex_unlock(&lock);
}

static ssize_t write_at(int fd, const char *path, const void *data, size_t n, off_t offset)
{
    pthread_mutex_lock(&lock);
    off_t where = offset;
    if (offset < 0)
        where = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    int last = reached();
    size_t size = last ? n / 2 : n;
    ssize_t done = offset < 0 ? syscall(SYS_write, fd, data, size) : syscall(SYS_pwrite64, fd, data, size, offset);
    if (last)
        die();
    end(done > 0, WRITE, path, NULL, where, data, done);
    return done;
}

ssize_t write(int fd, const void *data, size_t n)
{
    char path[PATH_MAX];
    return fd_below(fd, path) ? write_at(fd, path, data, n, -1) : syscall(SYS_write, fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    char path[PATH_MAX];
    return fd_below(fd, path) ? write_at(fd, path, data, n, offset) : syscall(SYS_pwrite64, fd, data, n, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset)
{
    return pwrite(fd, data, n, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    char path[PATH_MAX];
    if (!fd_below(fd, path))
        return syscall(SYS_writev, fd, parts, n);
    ssize_t sum = 0;
    for (int i = 0; i < n; i++) {
        ssize_t done = parts[i].iov_len ? write_at(fd, path, parts[i].iov_base, parts[i].iov_len, -1) : 0;
        if (done < 0)
            return sum ? sum : done;
        sum += done;
        if ((size_t)done < parts[i].iov_len)
            break;
    }
    return sum;
}

static int open_at(int at, const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR)) || !below(at, path, full))
        return syscall(SYS_openat, at, path, flags, mode);
    begin();
    struct stat seen;
    int there = syscall(SYS_newfstatat, at, path, &seen, 0) == 0;
    int fd = syscall(SYS_openat, at, path, flags, mode);
    end(fd >= 0 && (!there || (flags & O_TRUNC)), there ? TRUNCATE : CREATE, full, NULL, 0, NULL, 0);
    return fd;
}

#define OPEN(name)                                                                   \
    int name(const char *path, int flags, ...)                                       \
    {                                                                                \
        va_list more;                                                                \
        va_start(more, flags);                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;      \
        va_end(more);                                                                \
        return open_at(AT_FDCWD, path, flags, mode);                                 \
    }
#define OPENAT(name)                                                                 \
    int name(int at, const char *path, int flags, ...)                               \
    {                                                                                \
        va_list more;                                                                \
        va_start(more, flags);                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;      \
        va_end(more);                                                                \
        return open_at(at, path, flags, mode);                                       \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int fsync(int fd)
{
    char path[PATH_MAX];
    if (!fd_below(fd, path))
        return syscall(SYS_fsync, fd);
    begin();
    /* What it promises is played by the test; the disk's time is spared. */
    end(1, SYNC, path, NULL, 0, NULL, 0);
    return 0;
}

int fdatasync(int fd) { return fsync(fd); }

int ftruncate(int fd, off_t size)
{
    char path[PATH_MAX];
    if (!fd_below(fd, path))
        return syscall(SYS_ftruncate, fd, size);
    begin();
    int failed = syscall(SYS_ftruncate, fd, size);
    end(!failed, TRUNCATE, path, NULL, size, NULL, 0);
    return failed;
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int rename_at(int from, const char *path, int to, const char *other)
{
    char full[PATH_MAX], target[PATH_MAX];
    if (!below(to, other, target) || !below(from, path, full))
        return syscall(SYS_renameat2, from, path, to, other, 0);
    begin();
    int failed = syscall(SYS_renameat2, from, path, to, other, 0);
    end(!failed, RENAME, full, target, 0, NULL, 0);
    return failed;
}

int rename(const char *path, const char *other) { return rename_at(AT_FDCWD, path, AT_FDCWD, other); }

int renameat(int from, const char *path, int to, const char *other) { return rename_at(from, path, to, other); }

/* By which two folders change places; called by ctypes. */
int renameat2(int from, const char *path, int to, const char *other, unsigned flags)
{
    char full[PATH_MAX], target[PATH_MAX];
    if (!(flags & RENAME_EXCHANGE))
        return flags ? syscall(SYS_renameat2, from, path, to, other, flags) : rename_at(from, path, to, other);
    if (!below(to, other, target) || !below(from, path, full))
        return syscall(SYS_renameat2, from, path, to, other, flags);
    begin();
    int failed = syscall(SYS_renameat2, from, path, to, other, flags);
    end(!failed, EXCHANGE, full, target, 0, NULL, 0);
    return failed;
}

static int make_at(int at, const char *path, mode_t mode)
{
    char full[PATH_MAX];
    if (!below(at, path, full))
        return syscall(SYS_mkdirat, at, path, mode);
    begin();
    int failed = syscall(SYS_mkdirat, at, path, mode);
    end(!failed, MKDIR, full, NULL, 0, NULL, 0);
    return failed;
}

int mkdir(const char *path, mode_t mode) { return make_at(AT_FDCWD, path, mode); }

int mkdirat(int at, const char *path, mode_t mode) { return make_at(at, path, mode); }

static int unlink_at(int at, const char *path, int flags)
{
    char full[PATH_MAX];
    if (!below(at, path, full))
        return syscall(SYS_unlinkat, at, path, flags);
    begin();
    int failed = syscall(SYS_unlinkat, at, path, flags);
    end(!failed, flags & AT_REMOVEDIR ? RMDIR : UNLINK, full, NULL, 0, NULL, 0);
    return failed;
}

int unlink(const char *path) { return unlink_at(AT_FDCWD, path, 0); }

int unlinkat(int at, const char *path, int flags) { return unlink_at(at, path, flags); }

int rmdir(const char *path) { return unlink_at(AT_FDCWD, path, AT_REMOVEDIR); }
