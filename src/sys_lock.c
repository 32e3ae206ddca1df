/* sys_lock.c - locks on files: flock(2), record locks of open file descriptions and of processes
** (fcntl(2)), and what lock files need of the file system.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int lipcsys_openlock (const char *path, unsigned access, bool create, bool exclusive, unsigned mode,
                      int *ret_fd) {
  int flags = access == LIPC_IN ? O_RDONLY : access == LIPC_OUT ? O_WRONLY : O_RDWR;
  if (create) flags |= O_CREAT;
  if (exclusive) flags |= O_EXCL;
  int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode & 07777);
  if (fd < 0) return -errno;
  *ret_fd = fd;
  return 0;
}

static int record_command (int kind, bool wait) {
#ifdef F_OFD_SETLK
  if (kind == LIPC_LK_OFD) return wait ? F_OFD_SETLKW : F_OFD_SETLK;
#else
  if (kind == LIPC_LK_OFD) return -1;
#endif
  return wait ? F_SETLKW : F_SETLK;
}

int lipcsys_setlock (int fd, const struct lipcsys_lock *l, bool wait) {
  if (l->kind == LIPC_LK_FLOCK) {
    int op = l->mode == LIPC_LK_NONE ? LOCK_UN : l->mode == LIPC_LK_SHARED ? LOCK_SH : LOCK_EX;
    return flock(fd, wait ? op : op | LOCK_NB) < 0 ? -errno : 0;
  }
  struct flock fl = {.l_type = l->mode == LIPC_LK_NONE     ? F_UNLCK
                               : l->mode == LIPC_LK_SHARED ? F_RDLCK
                                                           : F_WRLCK,
                     .l_whence = SEEK_SET,
                     .l_start = l->start,
                     .l_len = l->length};
  int command = record_command(l->kind, wait);
  if (command < 0) return -ENOSYS;
  if (fcntl(fd, command, &fl) == 0) return 0;
  return errno == EACCES ? -EAGAIN : -errno; /* POSIX allows either */
}

/* ---- lock files ---- */

int lipcsys_openlockfile (const char *path, unsigned mode, int *ret_fd) {
  struct stat st;
  int fd = -1, r = lipcsys_openlock(path, LIPC_IN | LIPC_OUT, true, false, mode, &fd);
  if (r < 0) return r;
  if (fstat(fd, &st) < 0) r = -errno;
  else if (!S_ISREG(st.st_mode)) r = -EINVAL;
  else if (st.st_nlink > 1) r = -EMLINK; /* what is written and emptied would be another file too */
  if (r < 0) close(fd);
  else *ret_fd = fd;
  return r;
}

bool lipcsys_isnamed (int fd, const char *path) {
  struct stat mine, there;
  return fstat(fd, &mine) == 0 && lstat(path, &there) == 0 && mine.st_dev == there.st_dev &&
         mine.st_ino == there.st_ino;
}

/* Emptying or removing a file that somebody named by mistake would lose what is in it. */
bool lipcsys_islockfile (int fd) {
  char text[64];
  ssize_t n = pread(fd, text, sizeof text, 0), i = 0;
  while (i < n && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n')) i++;
  return n >= 0 && n < (ssize_t)sizeof text &&
         (i == n || text[i] == '-' || (text[i] >= '0' && text[i] <= '9'));
}

/* Blanks, at most ten digits, and the end of the line: everything else is not what a program writes
** there. */
long lipcsys_readpid (int fd) {
  char text[32];
  ssize_t n = pread(fd, text, sizeof text, 0), i = 0;
  long long pid = 0;
  while (i < n && text[i] == ' ') i++;
  ssize_t first = i;
  while (i < n && i - first < 10 && text[i] >= '0' && text[i] <= '9')
    pid = pid * 10 + (text[i++] - '0');
  if (i == first || pid < 1 || pid > INT_MAX) return 0;
  return i == n || text[i] == '\n' || text[i] == ' ' ? (long)pid : 0;
}

int lipcsys_writepid (int fd, bool pid) {
  char text[24];
  int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
  if (ftruncate(fd, 0) < 0) return -errno;
  if (!pid) return 0;
  ssize_t n;
  do n = pwrite(fd, text, (size_t)len, 0);
  while (n < 0 && errno == EINTR);
  return n == len ? 0 : n < 0 ? -errno : -ENOSPC;
}

bool lipcsys_otherlives (long pid) {
  return pid > 0 && pid != (long)getpid() && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

int lipcsys_unlinklock (int fd, const char *path) {
  if (!lipcsys_isnamed(fd, path)) return 0;
  return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}
