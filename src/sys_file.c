/* sys_file.c - names in the file system: FIFOs are made, opened and removed here.  Nothing but a FIFO
** is ever opened or removed, and no symbolic link followed as the last part of a path.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int lipcsys_mkfifo (const char *path, unsigned mode, bool bymknod) {
  int r = bymknod ? mknod(path, S_IFIFO | (mode & 07777), 0) : mkfifo(path, mode & 07777);
  return r < 0 ? -errno : 0;
}

static int check_fifo (const struct stat *st) {
  if (S_ISLNK(st->st_mode)) return -LIPC_ESYMLINK;
  return S_ISFIFO(st->st_mode) ? 0 : -LIPC_ENOTFIFO;
}

static int open_checked (const char *path, int flags, const struct stat *want, int *ret_fd) {
  struct stat st;
  int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return -errno;
  int r = fstat(fd, &st) < 0 ? -errno : check_fifo(&st);
  if (r == 0 && (st.st_dev != want->st_dev || st.st_ino != want->st_ino)) r = -ENOENT;
  if (r == 0) *ret_fd = fd;
  else close(fd);
  return r;
}

/* Opening a device can do things to it: what is there is looked at before it is opened. */
int lipcsys_openfifo (const char *path, unsigned access, int *ret_fd,
                      struct lipcsys_fileid *ret_id) {
  int flags = access == LIPC_IN ? O_RDONLY : access == LIPC_OUT ? O_WRONLY : O_RDWR;
  struct stat st;
  int r;
#ifdef O_PATH /* a handle on the very file that was looked at */
  char proc[40];
  int at = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (at < 0) return -errno;
  r = fstat(at, &st) < 0 ? -errno : check_fifo(&st);
  if (r == 0) {
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", at);
    r = open_checked(proc, flags, &st, ret_fd);
    if (r == -ENOENT) r = open_checked(path, flags | O_NOFOLLOW, &st, ret_fd); /* without /proc */
  }
  close(at);
#else
  r = lstat(path, &st) < 0 ? -errno : check_fifo(&st);
  if (r == 0) r = open_checked(path, flags | O_NOFOLLOW, &st, ret_fd);
#endif
  if (r < 0 && r != -ENXIO) return r;
  ret_id->dev = (uint64_t)st.st_dev;
  ret_id->ino = (uint64_t)st.st_ino;
  return r;
}

int lipcsys_isfifo (const char *path) {
  struct stat st;
  return lstat(path, &st) < 0 ? -errno : check_fifo(&st);
}

int lipcsys_unlinkfifo (const char *path, const struct lipcsys_fileid *only) {
  struct stat st;
  if (lstat(path, &st) < 0) return -errno;
  int r = check_fifo(&st);
  if (r < 0) return r;
  if (only != NULL && ((uint64_t)st.st_dev != only->dev || (uint64_t)st.st_ino != only->ino))
    return -ENOENT;
  return unlink(path) < 0 ? -errno : 0;
}

int lipcsys_abspath (const char *path, char *buf, size_t size) {
  size_t n = 0;
  if (path[0] != '/') {
    if (getcwd(buf, size) == NULL) return -errno;
    n = strlen(buf);
    if (n + 1 < size) buf[n++] = '/';
  }
  size_t more = strlen(path) + 1;
  if (more > size - n) return -ENAMETOOLONG;
  memcpy(buf + n, path, more);
  return 0;
}

int lipcsys_haspeer (int fd, unsigned io, unsigned dir, char *ret_byte, unsigned *ret_seen) {
  struct pollfd p = {fd, dir == LIPC_IN ? POLLIN : POLLOUT, 0};
  if (poll(&p, 1, 0) < 0) return -errno;
  if (dir == LIPC_OUT) return p.revents & POLLERR ? -EAGAIN : 0; /* no reader */
  if (p.revents & POLLIN) return 0;
  if (!(io & LIPC_IO_NONBLOCK)) return -EAGAIN;
  ssize_t n;
  do n = read(fd, ret_byte, 1);
  while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno; /* empty, with a writer */
  *ret_seen = n == 1 ? LIPC_SAWBYTE : p.revents & POLLHUP ? LIPC_SAWLEAVE : 0;
  return n == 1 ? 0 : -EAGAIN;
}
