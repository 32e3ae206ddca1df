/* sys_mqueue.c - POSIX message queues.  The system calls themselves: the C library's functions are in a
** library of their own before glibc 2.34, and add nothing.  On Linux a queue is a descriptor that poll
** knows, so no wait is ever spent in here: sending and receiving get a time limit that is over.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>

#ifdef __linux__
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Newer 32-bit systems have the calls with 64-bit times only; a time of zeros is the same in both. */
#if !defined SYS_mq_timedsend && defined SYS_mq_timedsend_time64
#define SYS_mq_timedsend    SYS_mq_timedsend_time64
#define SYS_mq_timedreceive SYS_mq_timedreceive_time64
#endif

#define MQUEUE_FS 0x19800202 /* statfs(2) of a mounted mqueue file system */

/* struct mq_attr of the kernel, which <mqueue.h> has too. */
struct attr {
  long flags, maxmsg, msgsize, curmsgs, reserved[4];
};

int lipcsys_mqopen (const char *name, unsigned access, unsigned mode,
                    const struct lipcsys_mqattr *make, int *ret_fd) {
  int flags = access == LIPC_IN ? O_RDONLY : access == LIPC_OUT ? O_WRONLY : O_RDWR;
  struct attr attr = {0};
  flags |= O_CLOEXEC | O_NONBLOCK;
  if (make != NULL) {
    flags |= O_CREAT | O_EXCL;
    attr.maxmsg = make->maxmsg;
    attr.msgsize = make->msgsize;
  }
  long fd = syscall(SYS_mq_open, name + 1, flags, mode & 0777, make != NULL ? &attr : NULL);
  if (fd < 0) return -errno;
  *ret_fd = (int)fd;
  return 0;
}

static long limit (const char *name, long dflt) {
  char buf[64], *end;
  const char *text = lipcsys_limit(name, buf, sizeof buf);
  long n = strtol(text, &end, 10);
  return end == text ? dflt : n;
}

void lipcsys_mqdefault (struct lipcsys_mqattr *ret_attr) {
  long max = limit("fs/mqueue/msg_max", 10), size = limit("fs/mqueue/msgsize_max", 8192);
  ret_attr->maxmsg = limit("fs/mqueue/msg_default", 10);
  ret_attr->msgsize = limit("fs/mqueue/msgsize_default", 8192);
  if (ret_attr->maxmsg > max) ret_attr->maxmsg = max;
  if (ret_attr->msgsize > size) ret_attr->msgsize = size;
  ret_attr->curmsgs = 0;
  ret_attr->nonblock = true;
}

int lipcsys_mqgetattr (int fd, struct lipcsys_mqattr *ret_attr) {
  struct attr attr;
  if (syscall(SYS_mq_getsetattr, fd, NULL, &attr) < 0) return -errno;
  *ret_attr = (struct lipcsys_mqattr){attr.maxmsg, attr.msgsize, attr.curmsgs,
                                      (attr.flags & O_NONBLOCK) != 0};
  return 0;
}

int lipcsys_mqsetattr (int fd, bool nonblock) {
  struct attr attr = {.flags = nonblock ? O_NONBLOCK : 0};
  return syscall(SYS_mq_getsetattr, fd, &attr, NULL) < 0 ? -errno : 0;
}

/* The epoch: a time limit that was over before there were queues, so that neither call ever sleeps, even
** if somebody who shares the open description has just made it blocking.  A time limit to come would be on
** the realtime clock, and wrong as soon as that is set: waiting is poll's, on the monotonic clock. */
static const long long past[4];

static int tried (void) { return errno == ETIMEDOUT || errno == EWOULDBLOCK ? -EAGAIN : -errno; }

int lipcsys_mqsend (int fd, const void *data, size_t size, unsigned prio) {
  long r;
  do r = syscall(SYS_mq_timedsend, fd, data, size, prio, past);
  while (r < 0 && errno == EINTR);
  return r < 0 ? tried() : 0;
}

int lipcsys_mqreceive (int fd, void *buf, size_t size, size_t *ret_n, unsigned *ret_prio) {
  long n;
  do n = syscall(SYS_mq_timedreceive, fd, buf, size, ret_prio, past);
  while (n < 0 && errno == EINTR);
  if (n < 0) return tried();
  *ret_n = (size_t)n;
  return 0;
}

int lipcsys_mqnotify (int fd, int signo, int value) {
  struct sigevent ev;
  memset(&ev, 0, sizeof ev);
  ev.sigev_notify = SIGEV_SIGNAL;
  ev.sigev_signo = signo;
  ev.sigev_value.sival_int = value;
  return syscall(SYS_mq_notify, fd, signo != 0 ? &ev : NULL) < 0 ? -errno : 0;
}

/* Whether the name is that queue's: 0, -ENOENT, or what prevents finding out. */
static int is_same (const char *name, const struct lipcsys_fileid *id) {
  struct stat st;
  int fd = -1, r = lipcsys_mqopen(name, LIPC_IN, 0, NULL, &fd);
  if (r == -EACCES) r = lipcsys_mqopen(name, LIPC_OUT, 0, NULL, &fd);
  if (r < 0) return r;
  if (fstat(fd, &st) < 0) r = -errno;
  else if ((uint64_t)st.st_dev != id->dev || (uint64_t)st.st_ino != id->ino) r = -ENOENT;
  close(fd);
  return r;
}

int lipcsys_mqunlink (const char *name, const struct lipcsys_fileid *only) {
  int r = only != NULL ? is_same(name, only) : 0;
  if (r < 0 && r != -EACCES) return r;
  return syscall(SYS_mq_unlink, name + 1) < 0 ? -errno : 0;
}

uint64_t lipcsys_mqbytes (const struct lipcsys_mqattr *attr) {
  uint64_t n = (uint64_t)attr->maxmsg;
  uint64_t msg = 6 * sizeof(long),
           node = 6 * sizeof(long); /* struct msg_msg, posix_msg_tree_node */
  return n * msg + (n < LIPC_MQ_PRIO_MAX ? n : LIPC_MQ_PRIO_MAX) * node +
         n * (uint64_t)attr->msgsize;
}

/* ---- the queues there are ---- */

/* "QSIZE:129  NOTIFY:2  SIGNO:0  NOTIFY_PID:8260" */
static void read_status (int fd, struct lipcsys_mqinfo *info) {
  char line[256];
  ssize_t n = read(fd, line, sizeof line - 1);
  int notice = 0, signo = 0, pid = 0;
  unsigned long long size = 0;
  if (n <= 0 || lipcsys_mqgetattr(fd, &info->attr) < 0) return;
  line[n] = '\0';
  if (sscanf(line, "QSIZE:%llu NOTIFY:%d SIGNO:%d NOTIFY_PID:%d", &size, &notice, &signo, &pid) !=
      4)
    return;
  info->readable = true;
  info->size = size;
  if (pid <= 0) return;
  info->pid = pid;
  info->notice = notice == SIGEV_SIGNAL ? LIPC_MQ_SIGNAL
                 : notice == SIGEV_NONE ? LIPC_MQ_NOTHING
                                        : LIPC_MQ_THREAD;
  if (info->notice == LIPC_MQ_SIGNAL) info->signo = signo;
}

static bool describe (int dir, const char *name, struct lipcsys_mqinfo *ret_info) {
  struct lipcsys_mqinfo info = {.name = "/"};
  struct stat st;
  size_t len = strlen(name);
  if (len > LIPC_MQ_NAMEMAX || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return false;
  memcpy(info.name + 1, name, len + 1);
  info.mode = (unsigned)st.st_mode & 07777;
  info.uid = st.st_uid;
  info.gid = st.st_gid;
  int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
  if (fd >= 0) {
    read_status(fd, &info);
    close(fd);
  }
  *ret_info = info;
  return true;
}

static int by_name (const void *a, const void *b) {
  return strcmp(((const struct lipcsys_mqinfo *)a)->name, ((const struct lipcsys_mqinfo *)b)->name);
}

int lipcsys_mqlist (struct lipcsys_mqinfo *list, size_t max, size_t *ret_n) {
  struct statfs fs;
  size_t n = 0;
  DIR *d = opendir(LIPC_MQ_DIR);
  if (d == NULL) return -errno;
  if (fstatfs(dirfd(d), &fs) < 0 || fs.f_type != MQUEUE_FS) {
    closedir(d);
    return -ENOENT;
  }
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    if (n >= max || describe(dirfd(d), e->d_name, &list[n])) n++;
  }
  closedir(d);
  if (n > 1 && n <= max) qsort(list, n, sizeof *list, by_name);
  *ret_n = n;
  return 0;
}

#else

int lipcsys_mqopen (const char *name, unsigned access, unsigned mode,
                    const struct lipcsys_mqattr *make, int *ret_fd) {
  (void)name, (void)access, (void)mode, (void)make, (void)ret_fd;
  return -ENOSYS;
}
void lipcsys_mqdefault (struct lipcsys_mqattr *ret_attr) {
  *ret_attr = (struct lipcsys_mqattr){10, 8192, 0, true};
}
int lipcsys_mqgetattr (int fd, struct lipcsys_mqattr *ret_attr) {
  (void)fd, (void)ret_attr;
  return -ENOSYS;
}
int lipcsys_mqsetattr (int fd, bool nonblock) {
  (void)fd, (void)nonblock;
  return -ENOSYS;
}
int lipcsys_mqsend (int fd, const void *data, size_t size, unsigned prio) {
  (void)fd, (void)data, (void)size, (void)prio;
  return -ENOSYS;
}
int lipcsys_mqreceive (int fd, void *buf, size_t size, size_t *ret_n, unsigned *ret_prio) {
  (void)fd, (void)buf, (void)size, (void)ret_n, (void)ret_prio;
  return -ENOSYS;
}
int lipcsys_mqnotify (int fd, int signo, int value) {
  (void)fd, (void)signo, (void)value;
  return -ENOSYS;
}
int lipcsys_mqunlink (const char *name, const struct lipcsys_fileid *only) {
  (void)name, (void)only;
  return -ENOSYS;
}
uint64_t lipcsys_mqbytes (const struct lipcsys_mqattr *attr) {
  (void)attr;
  return 0;
}
int lipcsys_mqlist (struct lipcsys_mqinfo *list, size_t max, size_t *ret_n) {
  (void)list, (void)max, (void)ret_n;
  return -ENOSYS;
}
#endif
