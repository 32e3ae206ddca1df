/* sys_who.c - processes told apart although their numbers are used again, and although they became another
** program; proc(5).  Linux; elsewhere the number alone counts, and who waits to be reaped counts as alive.
** fork: the child is asked for anew.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__
enum { FIELD_STATE = 3, FIELD_THREADS = 20, FIELD_START = 22, FIELD_STACK = 28 };

/* exec changes neither number nor start, but where the stack begins, if that is random: 24 bits of it, above what
** ticks may ever need.  0: this process may not know it, or has none any more. */
#define IMAGE_SHIFT  40
#define TICKS(start) ((start) & ((UINT64_C(1) << IMAGE_SHIFT) - 1))
#define IMAGE(start) ((start) >> IMAGE_SHIFT)

static uint64_t image_of (uint64_t stack) {
  uint64_t image = stack * UINT64_C(0x9e3779b97f4a7c15) >> IMAGE_SHIFT;
  return stack == 0 ? 0 : image != 0 ? image : 1;
}


/* The fields behind the name, which may have blanks and brackets in it, from the third on. */
static int look (uint32_t pid, bool *ret_ended, uint64_t *ret_start) {
  char path[32], buf[1024];
  snprintf(path, sizeof path, "/proc/%u/stat", (unsigned)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  ssize_t n = read(fd, buf, sizeof buf - 1);
  int err = errno;
  close(fd);
  if (n <= 0) return n < 0 ? -err : -ESRCH;
  buf[n] = '\0';
  char *p = strrchr(buf, ')');
  if (p == NULL || p[1] != ' ') return -EIO;
  char state = p[2];
  long threads = 1;
  p += 2;
  uint64_t start = 0;
  for (int field = FIELD_STATE; field < FIELD_STACK; field++) {
    p = strchr(p, ' ');
    if (p == NULL) return -EIO;
    p++;
    if (field + 1 == FIELD_THREADS) threads = atol(p);
    if (field + 1 == FIELD_START) start = strtoull(p, NULL, 10);
  }
  *ret_ended = state == 'X' || (state == 'Z' && threads <= 1); /* else its other threads go on */
  *ret_start = TICKS(start) | image_of(strtoull(p, NULL, 10)) << IMAGE_SHIFT;
  return 0;
}
#else
static int look (uint32_t pid, bool *ret_ended, uint64_t *ret_start) {
  (void)pid;
  (void)ret_ended;
  (void)ret_start;
  return -ENOSYS;
}
#endif

struct lipcsys_who lipcsys_self (void) {
  static _Thread_local struct lipcsys_who self;
  static _Thread_local unsigned forkgen = UINT_MAX;
  if (forkgen != lipcsys_forkgen) {
    bool ended;
    int err = errno;
    self = (struct lipcsys_who){.pid = (uint32_t)getpid()};
    look(self.pid, &ended, &self.start);
    forkgen = lipcsys_forkgen;
    errno = err;
  }
  return self;
}

/* Whether two looks were at the same process, running the same program. */
static bool is_same (uint64_t a, uint64_t b) {
  return TICKS(a) == TICKS(b) && (IMAGE(a) == IMAGE(b) || IMAGE(a) == 0 || IMAGE(b) == 0);
}

bool lipcsys_isalive (struct lipcsys_who who) {
  bool ended;
  uint64_t start;
  if (who.pid == 0 || who.pid > INT_MAX) return false;
  if (kill((pid_t)who.pid, 0) < 0 && errno == ESRCH) return false;
  int r = look(who.pid, &ended, &start);
  if (r == -ESRCH) return false; /* it went while it was looked at */
  return r < 0 || (!ended && (who.start == 0 || is_same(start, who.start)));
}
