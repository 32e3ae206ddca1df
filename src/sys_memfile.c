/* sys_memfile.c - the files that are mapped: POSIX shared memory objects, memfds, files; shm_overview(7),
** memfd_create(2).  Files without a name, seals and room that is reserved are Linux's; there the
** objects are the files in /dev/shm.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SHM_DIR "/dev/shm"

/* ---- names ---- */

#ifdef __linux__
/* The path of the file; buf is for objects, whose names are of at most 255 bytes. */
#define PATHMAX (sizeof SHM_DIR + 1 + 255 + 1)

static const char *path_of (const struct lipcsys_mempath *p, char buf[PATHMAX]) {
  if (!p->shm) return p->path;
  snprintf(buf, PATHMAX, SHM_DIR "%s", p->path);
  return buf;
}

static int open_named (const struct lipcsys_mempath *p, int flags, unsigned mode) {
  char buf[PATHMAX];
  return open(path_of(p, buf), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode);
}

static int stat_named (const struct lipcsys_mempath *p, struct stat *st) {
  char buf[PATHMAX];
  return lstat(path_of(p, buf), st);
}

static int unlink_named (const struct lipcsys_mempath *p) {
  char buf[PATHMAX];
  return unlink(path_of(p, buf));
}
#else
static int open_named (const struct lipcsys_mempath *p, int flags, unsigned mode) {
  if (!p->shm) return open(p->path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode);
  int fd = shm_open(p->path, flags, mode);
  if (fd >= 0) fcntl(fd, F_SETFD, FD_CLOEXEC);
  return fd;
}

static int stat_named (const struct lipcsys_mempath *p, struct stat *st) {
  if (!p->shm) return lstat(p->path, st);
  int fd = open_named(p, O_RDONLY, 0);
  if (fd < 0) return -1;
  int r = fstat(fd, st);
  close(fd);
  return r;
}

static int unlink_named (const struct lipcsys_mempath *p) {
  return p->shm ? shm_unlink(p->path) : unlink(p->path);
}
#endif

/* ---- what is there ---- */

static unsigned seals_of (int fd) {
#ifdef F_GET_SEALS
  int n = fcntl(fd, F_GET_SEALS);
  return n < 0 ? 0 : (unsigned)n; /* the kernel's numbers are those of LIPC_SEAL_* */
#else
  (void)fd;
  return 0;
#endif
}

static int check_kind (const struct stat *st) {
  if (S_ISLNK(st->st_mode)) return -ELOOP;
  if (S_ISDIR(st->st_mode)) return -EISDIR;
#ifdef __linux__
  return S_ISREG(st->st_mode) ? 0 : -EINVAL;
#else
  return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) || S_ISFIFO(st->st_mode) ? -EINVAL : 0;
#endif
}

int lipcsys_meminfo (int fd, struct lipcsys_meminfo *ret_info) {
  struct stat st;
  if (fstat(fd, &st) < 0) return -errno;
  int r = check_kind(&st);
  if (r < 0) return r;
  ret_info->size = (uint64_t)st.st_size;
  ret_info->id = (struct lipcsys_fileid){(uint64_t)st.st_dev, (uint64_t)st.st_ino};
  ret_info->mode = st.st_mode & 07777;
  ret_info->seals = seals_of(fd);
  return 0;
}

int lipcsys_memopen (const struct lipcsys_mempath *p, bool write, int *ret_fd,
                     struct lipcsys_meminfo *ret_info) {
  struct stat st;
  if (stat_named(p, &st) < 0) return -errno;
  int r = check_kind(&st); /* opening a device can do things to it */
  if (r < 0) return r;
  int fd = open_named(p, write ? O_RDWR : O_RDONLY, 0);
  if (fd < 0) return -errno;
  r = lipcsys_meminfo(fd, ret_info);
  if (r == 0) *ret_fd = fd;
  else close(fd);
  return r;
}

bool lipcsys_memthere (const struct lipcsys_mempath *p) {
  struct stat st;
  return stat_named(p, &st) == 0;
}

int lipcsys_memunlink (const struct lipcsys_mempath *p, const struct lipcsys_fileid *only) {
  struct stat st;
  if (only != NULL && (stat_named(p, &st) < 0 || (uint64_t)st.st_dev != only->dev ||
                       (uint64_t)st.st_ino != only->ino))
    return 0;
  return unlink_named(p) < 0 ? -errno : 0;
}

/* ---- new ones ---- */

#ifdef __linux__
/* How many bytes of the path are the directory; 0: it is the working directory. */
static size_t dir_length (const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
}

static int open_dir (const char *path) {
  char dir[4096] = ".";
  size_t n = dir_length(path);
  if (n >= sizeof dir) return -ENAMETOOLONG;
  if (n > 0) memcpy(dir, path, n), dir[n] = '\0';
  int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

static const char *last_part (const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

int lipcsys_memnew (struct lipcsys_newmem *n, unsigned mode) {
  char buf[PATHMAX];
  const char *path = path_of(&n->path, buf);
  n->temporary[0] = '\0';
  n->fd = -1;
  if (*last_part(path) == '\0') return -EISDIR;
  int dir = open_dir(path);
  if (dir < 0) return dir;
  int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
  /* where the file system cannot do that; EISDIR and ENOENT are those of old kernels */
  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
    static _Atomic unsigned counter;
    for (int tries = 0; tries < 100 && fd < 0; tries++) {
      snprintf(n->temporary, sizeof n->temporary, ".lipc-%x-%x", (unsigned)getpid() & 0xffffffff,
               atomic_fetch_add(&counter, 1));
      fd = openat(dir, n->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
      if (fd < 0 && errno != EEXIST) break;
    }
  }
  int r = fd < 0 ? -errno : 0;
  if (fd < 0) n->temporary[0] = '\0';
  close(dir);
  if (r == 0) n->fd = fd;
  return r;
}

int lipcsys_mempublish (struct lipcsys_newmem *n) {
  char buf[PATHMAX], proc[40];
  const char *path = path_of(&n->path, buf), *last = last_part(path);
  int dir = open_dir(path);
  if (dir < 0) return dir;
  int r;
  if (n->temporary[0] == '\0') {
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", n->fd);
    r = linkat(AT_FDCWD, proc, dir, last, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
  } else {
    r = linkat(dir, n->temporary, dir, last, 0) < 0 ? -errno : 0;
    if (r == 0) {
      unlinkat(dir, n->temporary, 0);
      n->temporary[0] = '\0';
    }
  }
  close(dir);
  return r;
}

void lipcsys_memdrop (struct lipcsys_newmem *n) {
  char buf[PATHMAX];
  if (n->temporary[0] != '\0') {
    int dir = open_dir(path_of(&n->path, buf));
    if (dir >= 0) {
      unlinkat(dir, n->temporary, 0);
      close(dir);
    }
    n->temporary[0] = '\0';
  }
}
#else
/* The name at once: who opens it while it is being made finds it smaller than it will be. */
int lipcsys_memnew (struct lipcsys_newmem *n, unsigned mode) {
  n->temporary[0] = '\0';
  int fd = open_named(&n->path, O_RDWR | O_CREAT | O_EXCL, mode);
  if (fd < 0) return -errno;
  n->fd = fd;
  n->temporary[0] = '*';
  return 0;
}

int lipcsys_mempublish (struct lipcsys_newmem *n) {
  n->temporary[0] = '\0';
  return 0;
}

void lipcsys_memdrop (struct lipcsys_newmem *n) {
  if (n->temporary[0] != '\0') unlink_named(&n->path);
  n->temporary[0] = '\0';
}
#endif

/* ---- their size ---- */

/* Beyond this limit the kernel would send SIGXFSZ. */
static int allowed (uint64_t size) {
  uint64_t max;
  if (size > INT64_MAX) return -EFBIG;
  return lipcsys_rlimitnow("fsize", &max) == 0 && size > max ? -EFBIG : 0;
}

/* Between the look and the cut somebody else may have made it longer: only where there is nothing better. */
static int extend (int fd, uint64_t size) {
  struct stat st;
  if (fstat(fd, &st) < 0) return -errno;
  if ((uint64_t)st.st_size >= size) return 0;
  return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int lipcsys_memgrow (int fd, uint64_t size, bool reserve) {
  int r = allowed(size);
  if (r < 0 || size == 0) return r;
#ifdef __linux__
  uint64_t from = reserve ? 0 : size - 1; /* one byte at the end makes it as long */
  do r = fallocate(fd, 0, (off_t)from, (off_t)(size - from)) < 0 ? -errno : 0;
  while (r == -EINTR);
  if (r == -EOPNOTSUPP || r == -ENOSYS || (r == -ENOSPC && !reserve)) r = extend(fd, size);
  return r;
#else
  (void)reserve;
  return extend(fd, size);
#endif
}

int lipcsys_memsetsize (int fd, uint64_t size) {
  int r = allowed(size);
  return r < 0 ? r : ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

/* ---- memfds ---- */

#ifdef F_ADD_SEALS
int lipcsys_memfd (const char *name, int *ret_fd) {
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  *ret_fd = fd;
  return 0;
}

int lipcsys_memseal (int fd, unsigned seals) {
  return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}
#else
int lipcsys_memfd (const char *name, int *ret_fd) {
  (void)name, (void)ret_fd;
  return -ENOSYS;
}

int lipcsys_memseal (int fd, unsigned seals) {
  (void)fd, (void)seals;
  return -ENOSYS;
}
#endif

/* ---- notes ---- */

const char *lipcsys_mlocknote (int err, char *buf, size_t size) {
  uint64_t n;
  if ((err != -ENOMEM && err != -EPERM && err != -EAGAIN) || lipcsys_rlimitnow("memlock", &n) < 0)
    return NULL;
  snprintf(buf, size, "RLIMIT_MEMLOCK is %llu bytes: see ulimit -l", (unsigned long long)n);
  return buf;
}

const char *lipcsys_memnote (const struct lipcsys_mempath *p, int fd, int err, char *buf,
                             size_t size) {
  struct statvfs fs;
  char limit[64];
  uint64_t n;
  bool shm = p != NULL && p->shm;
  switch (err) {
    case -ENOSPC:
    case -EDQUOT:
      shm = shm && p->path != NULL;
      if ((shm ? statvfs(SHM_DIR, &fs) : fd >= 0 ? fstatvfs(fd, &fs) : -1) < 0) return NULL;
      if (fs.f_blocks == 0) return NULL; /* it has no limit of its own */
      snprintf(buf, size, "%s has %llu KiB, of which %llu are free%s",
               shm ? SHM_DIR : "its file system",
               (unsigned long long)fs.f_blocks * fs.f_frsize / 1024,
               (unsigned long long)fs.f_bavail * fs.f_frsize / 1024,
               shm ? ": mount -o remount,size=..." : "");
      return buf;
    case -ENOMEM:
      snprintf(buf, size,
               "no memory, no room for addresses, or vm.max_map_count mappings: %s, see sysctl",
               lipcsys_limit("vm/max_map_count", limit, sizeof limit));
      return buf;
    case -EFBIG:
      if (lipcsys_rlimitnow("fsize", &n) < 0 || n == UINT64_MAX) return NULL;
      snprintf(buf, size, "RLIMIT_FSIZE is %llu: see ulimit -f", (unsigned long long)n);
      return buf;
    case -ENOENT: return shm && access(SHM_DIR, F_OK) < 0 ? "is " SHM_DIR " mounted?" : NULL;
    case -EINVAL: return p != NULL && p->path != NULL ? "it is no regular file" : NULL;
    case -ELOOP: return "symbolic links are not followed";
    default: return NULL;
  }
}
