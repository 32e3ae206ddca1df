/* sys_lockinfo.c - who holds a lock: F_OFD_GETLK and F_GETLK of record locks; of flock(2) locks, which
** no system call tells, and of the pids of open file descriptions, what Linux shows in /proc.
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

#ifdef __linux__
#include <sys/syscall.h>
#include <sys/sysmacros.h>

/* ---- locks as /proc shows them ---- */

/* What the kernel calls a file there: the device of its file system, which is not always st_dev. */
struct key {
  unsigned major, minor;
  unsigned long long ino;
};

struct entry {
  int kind, mode;
  long pid;
  struct key key;
  int64_t start, length;
};

/* "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF"; not one that waits ("1: -> FLOCK ..."). */
static bool parse (const char *line, struct entry *ret_entry) {
  char kind[8], mode[8], end[24];
  struct entry e = {0};
  unsigned long long start;
  if (sscanf(line, "%*u: %7s %*s %7s %ld %x:%x:%llu %llu %23s", kind, mode, &e.pid, &e.key.major,
             &e.key.minor, &e.key.ino, &start, end) != 8)
    return false;
  if (strcmp(kind, "FLOCK") == 0) e.kind = LIPC_LK_FLOCK;
  else if (strcmp(kind, "OFDLCK") == 0) e.kind = LIPC_LK_OFD;
  else if (strcmp(kind, "POSIX") == 0) e.kind = LIPC_LK_POSIX;
  else return false;
  e.mode = strcmp(mode, "WRITE") == 0 ? LIPC_LK_EXCLUSIVE : LIPC_LK_SHARED;
  e.start = (int64_t)start;
  e.length = strcmp(end, "EOF") == 0 ? 0 : (int64_t)(strtoull(end, NULL, 10) - start + 1);
  *ret_entry = e;
  return true;
}

static bool same_file (const struct key *a, const struct key *b) {
  return a->major == b->major && a->minor == b->minor && a->ino == b->ino;
}

/* The next lock of a file, in a fdinfo file or /proc/locks. */
static bool next_entry (struct lipcsys_lines *s, const struct key *key, struct entry *ret_entry) {
  char *line;
  while ((line = lipcsys_nextline(s)) != NULL) {
    if (strncmp(line, "lock:\t", 6) == 0) line += 6;
    if (parse(line, ret_entry) && (key == NULL || same_file(&ret_entry->key, key))) return true;
  }
  return false;
}

static int open_fdinfo (struct lipcsys_lines *s, const char *pid, const char *fd) {
  char path[80];
  snprintf(path, sizeof path, "/proc/%.20s/fdinfo/%.20s", pid, fd);
  return lipcsys_openlines(s, path);
}

static int mount_of (const char *fd) {
  struct lipcsys_lines s;
  char *line;
  int id = -1;
  if (open_fdinfo(&s, "self", fd) < 0) return -1;
  while (id < 0 && (line = lipcsys_nextline(&s)) != NULL)
    if (sscanf(line, "mnt_id: %d", &id) != 1) id = -1;
  close(s.fd);
  return id;
}

static int key_of (int fd, const char *fdname, struct key *ret_key) {
  struct stat st;
  struct lipcsys_lines s;
  char *line;
  int id, mount;
  if (fstat(fd, &st) < 0) return -errno;
  *ret_key = (struct key){major(st.st_dev), minor(st.st_dev), st.st_ino};
  if ((mount = mount_of(fdname)) < 0 || lipcsys_openlines(&s, "/proc/self/mountinfo") < 0) return 0;
  while ((line = lipcsys_nextline(&s)) != NULL) {
    unsigned ma, mi;
    if (sscanf(line, "%d %*d %u:%u", &id, &ma, &mi) != 3 || id != mount) continue;
    ret_key->major = ma;
    ret_key->minor = mi;
    break;
  }
  close(s.fd);
  return 0;
}

int lipcsys_ownlock (int fd) {
  char name[16];
  struct lipcsys_lines s;
  struct entry e;
  int mode = LIPC_LK_NONE;
  snprintf(name, sizeof name, "%d", fd);
  if (open_fdinfo(&s, "self", name) < 0) return mode;
  while (next_entry(&s, NULL, &e))
    if (e.kind == LIPC_LK_FLOCK) mode = e.mode;
  close(s.fd);
  return mode;
}

/* ---- the processes behind a lock ---- */

/* Whether that descriptor of that process is the same open file description as fd of this one. */
static bool is_ours (long pid, int theirs, int fd) {
#ifdef SYS_kcmp
  long same = syscall(SYS_kcmp, (long)getpid(), pid, 0 /* KCMP_FILE */, (long)fd, (long)theirs);
  if (same >= 0) return same == 0;
#endif
  return pid == (long)getpid() && theirs == fd;
}

static bool is_number (const char *s) { return s[0] >= '0' && s[0] <= '9'; }

static bool holds (const char *pid, const char *theirs, const struct entry *want, int fd) {
  struct lipcsys_lines s;
  struct entry e;
  bool found = false;
  if (open_fdinfo(&s, pid, theirs) < 0) return false;
  while (!found && next_entry(&s, &want->key, &e))
    found = e.kind == want->kind && e.mode == want->mode && e.start == want->start &&
            e.length == want->length;
  close(s.fd);
  return found && !is_ours(atol(pid), atoi(theirs), fd);
}

static void find_pids (int fd, const struct entry *want, struct lipcsys_holder *holder) {
  DIR *proc = opendir("/proc");
  if (proc == NULL) return;
  struct dirent *p, *d;
  while (holder->npids < LIPC_MAXHOLDERS && (p = readdir(proc)) != NULL) {
    char path[48];
    if (!is_number(p->d_name)) continue;
    snprintf(path, sizeof path, "/proc/%.20s/fdinfo", p->d_name);
    DIR *fds = opendir(path); /* not of another user's process, nor of one that is gone */
    if (fds == NULL) continue;
    while ((d = readdir(fds)) != NULL)
      if (is_number(d->d_name) && holds(p->d_name, d->d_name, want, fd)) {
        holder->pids[holder->npids++] = atol(p->d_name);
        break;
      }
    closedir(fds);
  }
  closedir(proc);
}

static void tell (const struct entry *e, struct lipcsys_holder *holder) {
  *holder = (struct lipcsys_holder){
    .kind = e->kind, .mode = e->mode, .start = e->start, .length = e->length};
}

/* The list in /proc/locks has our own lock too, which is in nobody's way. */
static int test_flock (int fd, const char *name, int mode, struct lipcsys_holder *ret_holder) {
  struct key key;
  struct lipcsys_lines s;
  struct entry e, found;
  int own = lipcsys_ownlock(fd), r = key_of(fd, name, &key);
  if (r == 0) r = lipcsys_openlines(&s, "/proc/locks");
  if (r < 0) return r == -ENOENT ? -ENOSYS : r;
  while (next_entry(&s, &key, &e)) {
    if (e.kind != LIPC_LK_FLOCK) continue;
    if (e.mode == own) own = LIPC_LK_NONE; /* which of them is ours does not matter yet */
    else if (mode == LIPC_LK_EXCLUSIVE || e.mode == LIPC_LK_EXCLUSIVE) {
      found = e;
      r = 1;
    }
  }
  close(s.fd);
  if (r == 0) return 0;
  tell(&found, ret_holder);
  find_pids(fd, &found, ret_holder);
  if (ret_holder->npids == 0 && found.pid > 0) ret_holder->pids[ret_holder->npids++] = found.pid;
  return 1;
}
#else
int lipcsys_ownlock (int fd) {
  (void)fd;
  return LIPC_LK_NONE;
}
#endif

static int test_record (int fd, const char *name, const struct lipcsys_lock *l,
                        struct lipcsys_holder *ret_holder) {
  struct flock fl = {.l_type = l->mode == LIPC_LK_SHARED ? F_RDLCK : F_WRLCK,
                     .l_whence = SEEK_SET,
                     .l_start = l->start,
                     .l_len = l->length};
  int command = F_GETLK;
#ifdef F_OFD_GETLK
  if (l->kind == LIPC_LK_OFD) command = F_OFD_GETLK;
#else
  if (l->kind == LIPC_LK_OFD) return -ENOSYS;
#endif
  if (fcntl(fd, command, &fl) < 0) return -errno;
  if (fl.l_type == F_UNLCK) return 0;
  *ret_holder = (struct lipcsys_holder){.kind = fl.l_pid == -1 ? LIPC_LK_OFD : LIPC_LK_POSIX,
                                        .mode = fl.l_type == F_RDLCK ? LIPC_LK_SHARED
                                                                     : LIPC_LK_EXCLUSIVE,
                                        .start = fl.l_start,
                                        .length = fl.l_len};
  if (fl.l_pid > 0) ret_holder->pids[ret_holder->npids++] = fl.l_pid;
#ifdef __linux__
  struct entry want = {ret_holder->kind, ret_holder->mode, 0, {0}, fl.l_start, fl.l_len};
  if (fl.l_pid == -1 && key_of(fd, name, &want.key) == 0) find_pids(fd, &want, ret_holder);
#else
  (void)name;
#endif
  return 1;
}

int lipcsys_testlock (int fd, const struct lipcsys_lock *l, struct lipcsys_holder *ret_holder) {
  char name[16];
  snprintf(name, sizeof name, "%d", fd);
  if (l->kind != LIPC_LK_FLOCK) return test_record(fd, name, l, ret_holder);
#ifdef __linux__
  return test_flock(fd, name, l->mode, ret_holder);
#else
  return -ENOSYS;
#endif
}
