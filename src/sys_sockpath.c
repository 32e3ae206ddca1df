/* sys_sockpath.c - sockets in the file system: who may take a path over, and where paths are kept.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef O_PATH
#define O_PATH O_RDONLY
#endif

/* Asked with a datagram socket, because a living stream socket answers that with "wrong type", whether it
** listens already or not, and sees no connection. */
int lipcsys_isfree (const struct lipcsys_addr *a) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  int e = connect(fd, (const struct sockaddr *)a->bytes, a->size) < 0 ? errno : 0;
  close(fd);
  switch (e) {
    case ECONNREFUSED: return 0;
    case ENOENT: return -ENOENT;
    case EACCES: return -EACCES;
    default: return -EADDRINUSE;
  }
}

/* Whoever replaces a dead socket holds this lock from the look to the bind: of two that find the same
** dead one, the second finds the first one's living socket.  A lock on the directory itself leaves
** no file behind.  Held for microseconds; who keeps it longer makes us fail, not hang. */
int lipcsys_lockdir (int fd) {
  int e = 0;
  for (int tries = 0; tries < 200; tries++) {
    const struct timespec ms = {0, 1000000};
    e = flock(fd, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
    if (e != EWOULDBLOCK && e != EINTR) break;
    nanosleep(&ms, NULL);
  }
  return e == EWOULDBLOCK ? -EBUSY : -e;
}

static int lock_directory (const char *path, int *ret_fd) {
  char dir[PATH_MAX];
  const char *slash = strrchr(path, '/');
  size_t len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
  if (len >= sizeof dir) return -ENAMETOOLONG;
  memcpy(dir, slash == NULL ? "." : path, len);
  dir[len] = '\0';
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int r = lipcsys_lockdir(fd);
  if (r < 0) close(fd);
  else *ret_fd = fd;
  return r;
}

static int replace_dead (int fd, const struct lipcsys_addr *a, const char *path) {
  struct stat st;
  int lock, r = lock_directory(path, &lock);
  if (r < 0) return r;
  if (lstat(path, &st) == 0) {
    if (!S_ISSOCK(st.st_mode)) r = -ENOTSOCK;
    else if ((r = lipcsys_isfree(a)) == 0 && unlink(path) < 0) r = -errno;
    if (r == -ENOENT) r = 0; /* gone meanwhile */
  }
  if (r == 0) r = lipcsys_bind(fd, a);
  close(lock);
  return r;
}

/* The umask, which is the host's, may have taken bits away that were asked for. */
static int set_mode (const char *path, unsigned mode, const struct stat *made) {
  char self[48];
  struct stat st;
  int r = 0, fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  if (fstat(fd, &st) < 0) r = -errno;
  else if (st.st_dev != made->st_dev || st.st_ino != made->st_ino) r = -EADDRINUSE;
  else if (chmod(self, mode) < 0) r = -errno;
  close(fd);
  return r;
}

int lipcsys_bindpath (int fd, const struct lipcsys_addr *addr, unsigned mode, bool replace,
                      struct lipcsys_fileid *ret_id) {
  const char *path = ((const struct sockaddr_un *)addr->bytes)->sun_path;
  struct stat st;
  (void)fchmod(fd, mode); /* Linux makes the file with the socket's own mode, less the umask */
  int r = lipcsys_bind(fd, addr);
  if (r == -EADDRINUSE && replace) r = replace_dead(fd, addr, path);
  if (r < 0) return r;
  if (lstat(path, &st) < 0) return -errno;
  struct lipcsys_fileid id = {(uint64_t)st.st_dev, (uint64_t)st.st_ino};
  if ((st.st_mode & 07777) != mode) r = set_mode(path, mode, &st);
  if (r < 0) lipcsys_unlinkpath(path, &id);
  else *ret_id = id;
  return r;
}

int lipcsys_unlinkpath (const char *path, const struct lipcsys_fileid *id) {
  struct stat st;
  if (lstat(path, &st) < 0) return errno == ENOENT ? 0 : -errno;
  if (!S_ISSOCK(st.st_mode) || (uint64_t)st.st_dev != id->dev || (uint64_t)st.st_ino != id->ino)
    return 0;
  return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* ---- the rendezvous directory ---- */

/* A directory of this user's own, not writable (bits 022) or not accessible (077) for others. */
static int check_directory (const char *path, unsigned forbidden) {
  struct stat st;
  if (lstat(path, &st) < 0) return -errno;
  if (!S_ISDIR(st.st_mode)) return -ENOTDIR;
  if (st.st_uid != geteuid() || (st.st_mode & forbidden) != 0) return -LIPC_EUNSAFE;
  return 0;
}

int lipcsys_runtimedir (char *path, size_t size) {
  const char *base = getenv("XDG_RUNTIME_DIR");
  int n;
  if (base != NULL && base[0] == '/' && check_directory(base, 022) == 0)
    n = snprintf(path, size, "%s/lipc", base);
  else n = snprintf(path, size, "/tmp/lipc-%ld", (long)geteuid());
  if (n < 0 || (size_t)n >= size) return -ENAMETOOLONG;
  if (mkdir(path, 0700) < 0 && errno != EEXIST) return -errno;
  return check_directory(path, 077);
}
