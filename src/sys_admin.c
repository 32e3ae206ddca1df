/* sys_admin.c - the named objects that are files: shared memory, semaphores and queues of POSIX, sockets
** and FIFOs.  All goes by a descriptor of their directory and never through a symbolic link.  Linux.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include "lipc_sys.h"

#include <errno.h>

#ifdef __linux__
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SHM_DIR   "/dev/shm"
#define MQUEUE_FS 0x19800202 /* statfs(2) of a mounted mqueue file system */

/* ---- the places ---- */

/* The queues of this IPC name space, in a mount that nobody else sees; root may do that.  What is mounted
** on /dev/mqueue may be another name space's. */
static int mount_queues (void) {
#ifdef SYS_fsmount
  int fs = (int)syscall(SYS_fsopen, "mqueue", 1); /* FSOPEN_CLOEXEC */
  if (fs < 0) return -errno;
  int root = -1;
  if (syscall(SYS_fsconfig, fs, 6, NULL, NULL, 0) == 0) /* FSCONFIG_CMD_CREATE */
    root = (int)syscall(SYS_fsmount, fs, 1, 0); /* FSMOUNT_CLOEXEC */
  int r = root < 0 ? -errno : 0;
  close(fs);
  if (r < 0) return r;
  /* that is a descriptor of the O_PATH kind */
  int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  r = fd < 0 ? -errno : fd;
  close(root);
  return r;
#else
  return -ENOSYS;
#endif
}

static int open_directory (const char *path, int flags) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
  return fd < 0 ? -errno : fd;
}

static int open_queues (void) {
  struct statfs fs;
  int fd = mount_queues();
  if (fd >= 0) return fd;
  fd = open_directory(LIPC_MQ_DIR, 0);
  if (fd < 0 || (fstatfs(fd, &fs) == 0 && fs.f_type == MQUEUE_FS)) return fd;
  close(fd);
  return -ENOENT;
}

static int open_rendezvous (const char *path, long uid) {
  struct stat st;
  int fd = open_directory(path, O_NOFOLLOW), r = 0;
  if (fd < 0 || uid < 0) return fd;
  if (fstat(fd, &st) < 0) r = -errno;
  else if (st.st_uid != (uid_t)uid || (st.st_mode & 022) != 0) r = -LIPC_EUNSAFE;
  if (r == 0) return fd;
  close(fd);
  return r;
}

static int open_place (const struct lipcsys_place *p) {
  switch (p->where) {
    case LIPC_AT_SHM: return open_directory(SHM_DIR, 0);
    case LIPC_AT_MQUEUE: return open_queues();
    default: return open_rendezvous(p->path, p->uid);
  }
}

/* ---- what is there ---- */

static bool type_of (mode_t mode, int *ret_type) {
  switch (mode & S_IFMT) {
    case S_IFREG: *ret_type = LIPC_IS_FILE; return true;
    case S_IFSOCK: *ret_type = LIPC_IS_SOCKET; return true;
    case S_IFIFO: *ret_type = LIPC_IS_FIFO; return true;
    case S_IFDIR: *ret_type = LIPC_IS_DIR; return true;
    default: return false;
  }
}

/* Not by reading the file, which counts as a change of the queue. */
static void ask_queue (int dir, struct lipcsys_named *o) {
  struct lipcsys_mqattr attr;
  int fd = openat(dir, o->name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  o->size = UINT64_MAX;
  if (fd < 0) return;
  if (lipcsys_mqgetattr(fd, &attr) == 0) {
    o->size = lipcsys_mqbytes(&attr);
    o->curmsgs = attr.curmsgs;
  }
  close(fd);
}

/* A queue gets a new time of change with each message, and its inode number only once. */
static int describe (const struct lipcsys_place *p, int dir, const char *name,
                     struct lipcsys_named *ret) {
  struct statx sx;
  size_t len = strlen(name);
  if (len >= sizeof ret->name) return -ENAMETOOLONG;
  if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME,
            &sx) < 0)
    return -errno;
  struct lipcsys_named n = {.mode = sx.stx_mode & 07777, .uid = sx.stx_uid, .gid = sx.stx_gid};
  if (!type_of(sx.stx_mode, &n.type)) return -ENOENT;
  memcpy(n.name, name, len + 1);
  n.size = sx.stx_size;
  n.dev = makedev(sx.stx_dev_major, sx.stx_dev_minor);
  n.ino = sx.stx_ino;
  const struct statx_timestamp *m = &sx.stx_mtime, *c = &sx.stx_ctime, *stamp = c;
  bool later = m->tv_sec > c->tv_sec || (m->tv_sec == c->tv_sec && m->tv_nsec > c->tv_nsec);
  n.changed = later ? (double)m->tv_sec + m->tv_nsec / 1e9 : (double)c->tv_sec + c->tv_nsec / 1e9;
  if (sx.stx_mask & STATX_BTIME) {
    stamp = &sx.stx_btime;
    n.born = (double)stamp->tv_sec + stamp->tv_nsec / 1e9;
  }
  if (p->where == LIPC_AT_MQUEUE) {
    if (n.type == LIPC_IS_FILE) ask_queue(dir, &n);
    snprintf(n.identity, sizeof n.identity, "%llx:%llx", (unsigned long long)n.dev,
             (unsigned long long)n.ino);
  } else {
    snprintf(n.identity, sizeof n.identity, "%llx:%llx:%d:%lld.%09u", (unsigned long long)n.dev,
             (unsigned long long)n.ino, n.type, (long long)stamp->tv_sec, (unsigned)stamp->tv_nsec);
  }
  *ret = n;
  return 0;
}

/* Through the directory that is open, where /proc is there; else by its path, if that is short enough. */
static int is_free (const struct lipcsys_place *p, int dir, const char *name) {
  char path[PATH_MAX];
  struct lipcsys_addr addr;
  size_t max;
  int n = snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, name);
  int r = n < 0 || (size_t)n >= sizeof path ? -ENAMETOOLONG
                                            : lipcsys_unixaddr(path, (size_t)n, false, &addr, &max);
  if (r == 0) r = lipcsys_isfree(&addr);
  if (r != -ENOENT && r != -ENAMETOOLONG) return r;
  n = snprintf(path, sizeof path, "%s/%s", p->path, name);
  if (n < 0 || (size_t)n >= sizeof path) return -ENAMETOOLONG;
  r = lipcsys_unixaddr(path, (size_t)n, false, &addr, &max);
  return r < 0 ? r : lipcsys_isfree(&addr);
}

int lipcsys_named (const struct lipcsys_place *place, struct lipcsys_named *list, size_t max,
                   size_t *ret_n) {
  size_t n = 0;
  int fd = open_place(place);
  if (fd < 0) return fd;
  DIR *d = fdopendir(fd);
  if (d == NULL) {
    int e = errno;
    close(fd);
    return -e;
  }
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    struct lipcsys_named *o = &list[n];
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    if (n >= max) n++;
    else if (describe(place, dirfd(d), e->d_name, o) == 0) {
      if (o->type == LIPC_IS_SOCKET)
        o->bound = place->where != LIPC_AT_DIR || is_free(place, dirfd(d), o->name) != 0;
      n++;
    }
  }
  closedir(d);
  *ret_n = n;
  return 0;
}

/* ---- removal ---- */

/* Whether this descriptor is the only one of its file, in any process, and nobody has it mapped: then a
** lease for writing can be had.  While we have it, who opens the file waits for us; the signal by which
** the kernel tells us so is SIGURG, which means nothing to anybody while its disposition is the default.
** 0; -EBUSY; -EPROTONOSUPPORT: it cannot be told. */
static int lease (int fd) {
  if (fcntl(fd, F_SETSIG, SIGURG) < 0) return -EPROTONOSUPPORT;
  if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0) return 0;
  return errno == EAGAIN || errno == EBUSY ? -EBUSY : -EPROTONOSUPPORT;
}

static int open_alone (int dir, const struct lipcsys_named *o, int *ret_fd) {
  struct stat st;
  int fd = openat(dir, o->name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == ELOOP ? -ESTALE : -EPROTONOSUPPORT;
  int r = fstat(fd, &st) < 0                           ? -errno
          : st.st_ino != o->ino || st.st_dev != o->dev ? -ESTALE
                                                       : lease(fd);
  if (r == 0) *ret_fd = fd;
  else close(fd);
  return r;
}

/* What the object has against being removed; a file is open afterwards, under a lease. */
static int check (const struct lipcsys_place *p, int dir, const struct lipcsys_named *o,
                  unsigned how, int *ret_fd) {
  int r = 0;
  if (o->type == LIPC_IS_SOCKET) {
    r = is_free(p, dir, o->name);
    return r == -EADDRINUSE ? -EBUSY : r == -ENOENT ? -ESTALE : r;
  }
  if (o->type == LIPC_IS_FILE) r = open_alone(dir, o, ret_fd);
  else if (how & LIPC_RM_ASK) r = -EPROTONOSUPPORT;
  return r == -EPROTONOSUPPORT && !(how & LIPC_RM_ASK) ? 0 : r;
}

int lipcsys_rmnamed (const struct lipcsys_place *place, const char *name, const char *identity,
                     unsigned how) {
  struct lipcsys_named now;
  int file = -1, dir = open_place(place);
  if (dir < 0) return dir;
  int r = place->where == LIPC_AT_DIR && !(how & LIPC_RM_DRY) ? lipcsys_lockdir(dir) : 0;
  if (r == 0) r = describe(place, dir, name, &now);
  if (r == -ENOENT || (r == 0 && strcmp(now.identity, identity) != 0)) r = -ESTALE;
  if (r == 0 && !(how & LIPC_RM_FORCE)) r = check(place, dir, &now, how, &file);
  if (r == 0 && !(how & LIPC_RM_DRY) && unlinkat(dir, name, 0) < 0)
    r = errno == ENOENT ? -ESTALE : -errno;
  if (file >= 0) close(file);
  close(dir);
  return r;
}
#else
int lipcsys_named (const struct lipcsys_place *place, struct lipcsys_named *list, size_t max,
                   size_t *ret_n) {
  (void)place, (void)list, (void)max, (void)ret_n;
  return -ENOSYS;
}
int lipcsys_rmnamed (const struct lipcsys_place *place, const char *name, const char *identity,
                     unsigned how) {
  (void)place, (void)name, (void)identity, (void)how;
  return -ENOSYS;
}
#endif
