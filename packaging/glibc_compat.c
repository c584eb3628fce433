/* Functions that glibc exports since a version after 2.28: the shared libraries have their own, and so run with older ones. (Before,
 * programs got the first three from a part of glibc that is linked statically.) */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel fills struct stat64 as it is on these machines. */
#if !defined(__x86_64__) && !defined(__aarch64__)
#error "glibc_compat.c knows x86_64 and aarch64"
#endif

/* 2.33 */
int fstat64(int fd, struct stat64 *to) { return (int)syscall(SYS_fstat, fd, to); }

int stat64(const char *restrict path, struct stat64 *restrict to) {
  return (int)syscall(SYS_newfstatat, AT_FDCWD, path, to, 0);
}

int lstat64(const char *restrict path, struct stat64 *restrict to) {
  return (int)syscall(SYS_newfstatat, AT_FDCWD, path, to, AT_SYMLINK_NOFOLLOW);
}

/* 2.30 */
pid_t gettid(void) { return (pid_t)syscall(SYS_gettid); }
