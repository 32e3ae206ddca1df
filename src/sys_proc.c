/* sys_proc.c - processes and what they have open, as /proc shows it; proc(5).  Linux.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include "lipc_sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files of /proc ---- */

int lipcsys_openlines (struct lipcsys_lines *s, const char *path) {
  s->pos = s->end = 0;
  s->cut = false;
  s->fd = open(path, O_RDONLY | O_CLOEXEC);
  return s->fd < 0 ? -errno : 0;
}

char *lipcsys_nextline (struct lipcsys_lines *s) {
  for (;;) {
    char *line = s->buf + s->pos, *nl = memchr(line, '\n', s->end - s->pos);
    bool rest = s->cut;
    if (nl != NULL) {
      *nl = '\0';
      s->pos = (size_t)(nl - s->buf) + 1;
      s->cut = false;
      if (rest) continue;
      return line;
    }
    if (s->pos == 0 && s->end == sizeof s->buf - 1) {
      s->buf[s->end] = '\0';
      s->pos = s->end = 0;
      s->cut = true;
      if (rest) continue;
      return s->buf;
    }
    memmove(s->buf, line, s->end - s->pos);
    s->end -= s->pos;
    s->pos = 0;
    ssize_t n = read(s->fd, s->buf + s->end, sizeof s->buf - 1 - s->end);
    if (n <= 0) return NULL;
    s->end += (size_t)n;
  }
}

int lipcsys_slurp (const char *path, char *buf, size_t size, size_t *ret_n) {
  size_t have = 0;
  int r = 0, fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  for (;;) {
    ssize_t n = read(fd, buf + have, size - have - 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) r = -errno;
    if (n <= 0) break;
    have += (size_t)n;
    if (have + 1 == size) {
      r = -ENOBUFS;
      break;
    }
  }
  close(fd);
  buf[have] = '\0';
  if (r == 0) *ret_n = have;
  return r;
}

long lipcsys_euid (void) { return (long)geteuid(); }

#ifdef __linux__
#include <sys/sysmacros.h>

#ifndef AT_STATX_DONT_SYNC
#define AT_STATX_DONT_SYNC 0
#endif

static bool is_number (const char *s) { return s[0] >= '0' && s[0] <= '9'; }

/* ---- processes ---- */

int lipcsys_pids (long *list, size_t max, size_t *ret_n, bool *ret_hidden) {
  DIR *d = opendir("/proc");
  size_t n = 0;
  bool first = false;
  if (d == NULL) return -errno;
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    if (!is_number(e->d_name)) continue;
    long pid = atol(e->d_name);
    if (pid == 1) first = true;
    if (n < max) list[n] = pid;
    n++;
  }
  closedir(d);
  *ret_n = n;
  *ret_hidden = !first; /* every name space of processes has its first */
  return 0;
}

static long effective_uid (long pid) {
  struct lipcsys_lines s;
  char path[48], *line;
  long uid = -1;
  snprintf(path, sizeof path, "/proc/%ld/status", pid);
  if (lipcsys_openlines(&s, path) < 0) return -1;
  while (uid < 0 && (line = lipcsys_nextline(&s)) != NULL)
    if (sscanf(line, "Uid: %*d %ld", &uid) != 1) uid = -1;
  close(s.fd);
  return uid;
}

int lipcsys_procinfo (long pid, struct lipcsys_procinfo *ret_info) {
  char path[48], buf[2048], state;
  unsigned flags;
  unsigned long long start;
  double now;
  size_t n;
  snprintf(path, sizeof path, "/proc/%ld/stat", pid);
  int r = lipcsys_slurp(path, buf, sizeof buf, &n);
  if (r < 0) return r == -ENOENT ? -ESRCH : r;
  const char *after = strrchr(buf, ')'); /* the name in brackets may have any in it */
  if (after == NULL || sscanf(after + 1,
                              " %c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                              "%*d %*d %llu",
                              &state, &flags, &start) != 3)
    return -ESRCH;
  if ((r = lipcsys_clocknow(LIPC_CLOCK_BOOTTIME, &now)) < 0) return r;
  bool running = state != 'Z' && state != 'X';
  bool kernels = (flags & 0x00200000) != 0; /* PF_KTHREAD */
  *ret_info = (struct lipcsys_procinfo){now - (double)start / (double)sysconf(_SC_CLK_TCK),
                                        running && !kernels, running, effective_uid(pid)};
  return 0;
}

/* ---- what they have open ---- */

static int by_inode (const void *a, const void *b) {
  const struct lipcsys_wanted *x = a, *y = b;
  return (x->ino > y->ino) - (x->ino < y->ino);
}

void lipcsys_sortwanted (struct lipcsys_wanted *list, size_t n) {
  if (n > 1) qsort(list, n, sizeof *list, by_inode);
}

/* Marks; whether there was one. */
static bool mark (struct lipcsys_wanted *list, size_t n, int what, uint64_t dev, uint64_t ino) {
  size_t lo = 0, hi = n;
  bool found = false;
  while (lo < hi) { /* the first of this inode number */
    size_t mid = lo + (hi - lo) / 2;
    if (list[mid].ino < ino) lo = mid + 1;
    else hi = mid;
  }
  for (; lo < n && list[lo].ino == ino; lo++)
    if (list[lo].what == what && (what != LIPC_OPEN_FILE || list[lo].dev == dev))
      list[lo].hit = found = true;
  return found;
}

/* A file server that does not answer would hold us up: what is known of the file is enough. */
static int look_through (int dir, const char *fd, struct stat *st) {
#ifdef STATX_BASIC_STATS
  struct statx sx;
  if (statx(dir, fd, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &sx) < 0) return -errno;
  st->st_mode = sx.stx_mode;
  st->st_ino = sx.stx_ino;
  st->st_dev = makedev(sx.stx_dev_major, sx.stx_dev_minor);
  return 0;
#else
  return fstatat(dir, fd, st, 0) < 0 ? -errno : 0;
#endif
}

static int look_at_descriptors (long pid, struct lipcsys_wanted *list, size_t n) {
  char path[48];
  struct stat st = {0};
  snprintf(path, sizeof path, "/proc/%ld/fd", pid);
  DIR *d = opendir(path);
  if (d == NULL) return -errno;
  for (struct dirent *e; (e = readdir(d)) != NULL;)
    if (is_number(e->d_name) && look_through(dirfd(d), e->d_name, &st) == 0)
      mark(list, n, S_ISSOCK(st.st_mode) ? LIPC_OPEN_SOCKET : LIPC_OPEN_FILE, st.st_dev, st.st_ino);
  closedir(d);
  return 0;
}

/* Segments of other IPC name spaces have the same numbers. */
static bool is_our_namespace (long pid) {
  char path[48];
  struct stat ours, theirs;
  snprintf(path, sizeof path, "/proc/%ld/ns/ipc", pid);
  return stat("/proc/self/ns/ipc", &ours) < 0 || stat(path, &theirs) < 0 ||
         (ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino);
}

/* "7f1c-7f1d rw-s 00000000 00:1a 4711    /dev/shm/name"; of a segment "/SYSV0000002a", and its id */
static int look_at_mappings (long pid, struct lipcsys_wanted *list, size_t n) {
  struct lipcsys_lines s;
  char path[48], *line;
  bool here = is_our_namespace(pid);
  snprintf(path, sizeof path, "/proc/%ld/maps", pid);
  int r = lipcsys_openlines(&s, path);
  if (r < 0) return r;
  while ((line = lipcsys_nextline(&s)) != NULL) {
    unsigned major, minor;
    unsigned long long ino;
    int name = 0;
    if (sscanf(line, "%*x-%*x %*s %*x %x:%x %llu %n", &major, &minor, &ino, &name) != 3) continue;
    if (name > 0 && strncmp(line + name, "/SYSV", 5) == 0) {
      if (here) mark(list, n, LIPC_OPEN_SEGMENT, 0, ino);
    } else if (ino != 0) {
      mark(list, n, LIPC_OPEN_FILE, makedev(major, minor), ino);
    }
  }
  close(s.fd);
  return 0;
}

void lipcsys_opened (long pid, struct lipcsys_wanted *list, size_t n, unsigned *ret_unseen) {
  int fd = look_at_descriptors(pid, list, n), map = look_at_mappings(pid, list, n);
  *ret_unseen = (fd < 0 ? LIPC_UNSEEN_FD : 0) | (map < 0 ? LIPC_UNSEEN_MAP : 0);
}
#else
int lipcsys_pids (long *list, size_t max, size_t *ret_n, bool *ret_hidden) {
  (void)list, (void)max, (void)ret_n, (void)ret_hidden;
  return -ENOSYS;
}
int lipcsys_procinfo (long pid, struct lipcsys_procinfo *ret_info) {
  (void)pid, (void)ret_info;
  return -ENOSYS;
}
void lipcsys_opened (long pid, struct lipcsys_wanted *list, size_t n, unsigned *ret_unseen) {
  (void)pid, (void)list, (void)n;
  *ret_unseen = LIPC_UNSEEN_FD | LIPC_UNSEEN_MAP;
}
void lipcsys_sortwanted (struct lipcsys_wanted *list, size_t n) { (void)list, (void)n; }
#endif
