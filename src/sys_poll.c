/* sys_poll.c - a set of descriptors to wait for: epoll(7) where there is one, poll(2) everywhere.
** What is wanted of each descriptor is kept here, so that a call that changes nothing costs nothing
** and a forked child can make a set of its own.  The inherited epoll set is the parent's: deleting
** there would delete the parent's registrations.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/syscall.h>
#define HAVE_EPOLL 1
#else
#define HAVE_EPOLL 0
#endif

#define ALWAYS 4u /* beside LIPC_IN and LIPC_OUT: a regular file, which epoll refuses */

struct lipcsys_poller {
  int fd; /* the epoll set; -1: poll(2) is used */
  unsigned gen; /* lipcsys_forkgen of the process that the set belongs to */
  bool coarse; /* learnt: no epoll_pwait2 here, milliseconds it is */
  uint8_t *want; /* by descriptor */
  int size; /* of want */
  int count, nalways; /* descriptors wanted; those among them that are always ready */
  int turn; /* where the next look at many begins, so that none is always last */
  struct pollfd *polls; /* poll(2): the array, made anew when stale */
  int npolls;
  bool stale;
};

static unsigned wanted (const struct lipcsys_poller *p, int fd) {
  return fd >= 0 && fd < p->size ? p->want[fd] : 0;
}

static int make_room (struct lipcsys_poller *p, int fd) {
  if (fd < p->size) return 0;
  int size = p->size < 32 ? 32 : p->size;
  while (size <= fd) size = size > INT_MAX / 2 ? INT_MAX : size * 2;
  uint8_t *w = realloc(p->want, (size_t)size);
  if (w == NULL) return -ENOMEM;
  memset(w + p->size, 0, (size_t)(size - p->size));
  p->want = w;
  p->size = size;
  return 0;
}

static void note (struct lipcsys_poller *p, int fd, unsigned want) {
  unsigned old = p->want[fd];
  p->count += (want != 0) - (old != 0);
  p->nalways += (want & ALWAYS) / ALWAYS - (old & ALWAYS) / ALWAYS;
  p->want[fd] = (uint8_t)want;
  p->stale = true;
}

/* ---- epoll ---- */

#if HAVE_EPOLL

/* Puts one descriptor into the set, or changes it there; *want gets ALWAYS where epoll refuses. */
static int epoll_put (int epfd, int fd, unsigned *want) {
  struct epoll_event ev = {0};
  ev.events = (*want & LIPC_IN ? EPOLLIN : 0u) | (*want & LIPC_OUT ? EPOLLOUT : 0u);
  ev.data.fd = fd;
  int r = epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev); /* what is new is rarer than what changes */
  if (r < 0 && errno == ENOENT) r = epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev);
  if (r < 0 && errno == EPERM) {
    *want |= ALWAYS;
    return 0;
  }
  return r < 0 ? -errno : 0;
}

static int epoll_new (int *ret_fd) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return -errno;
  *ret_fd = fd;
  return 0;
}

/* In a forked child: a set of our own under the number of the inherited one. */
static int epoll_renew (struct lipcsys_poller *p) {
  int fd = -1;
  int r = epoll_new(&fd);
  if (r < 0) return r;
  if (fd != p->fd) {
    r = dup3(fd, p->fd, O_CLOEXEC) < 0 ? -errno : 0;
    close(fd);
    if (r < 0) return r;
  }
  p->gen = lipcsys_forkgen;
  for (int i = 0; i < p->size; i++) {
    unsigned want = p->want[i] & ~ALWAYS;
    if (want != 0) note(p, i, epoll_put(p->fd, i, &want) < 0 ? 0 : want);
  }
  return 0;
}

static int epoll_sleep (struct lipcsys_poller *p, struct epoll_event *ev, int max, double seconds) {
  if (seconds == 0) return epoll_wait(p->fd, ev, max, 0);
#ifdef SYS_epoll_pwait2
  if (!p->coarse) {
    struct timespec ts;
    if (seconds > 1e9) seconds = 1e9;
    if (seconds >= 0) {
      ts.tv_sec = (time_t)seconds;
      ts.tv_nsec = (long)((seconds - (double)ts.tv_sec) * 1e9);
    }
    long n = syscall(SYS_epoll_pwait2, p->fd, ev, max, seconds < 0 ? NULL : &ts, NULL, 0);
    if (n >= 0 || errno != ENOSYS) return (int)n;
    p->coarse = true;
  }
#endif
  double ms = seconds * 1e3;
  if (ms > INT_MAX - 1) ms = INT_MAX - 1;
  int whole = (int)ms;
  return epoll_wait(p->fd, ev, max, seconds < 0 ? -1 : whole + (ms > whole)); /* rounded up */
}

#else

struct epoll_event {
  int none;
};
static int epoll_put (int epfd, int fd, unsigned *want) {
  (void)epfd, (void)fd, (void)want;
  return -ENOSYS;
}
static int epoll_new (int *ret_fd) {
  (void)ret_fd;
  return -ENOSYS;
}
static int epoll_renew (struct lipcsys_poller *p) {
  (void)p;
  return -ENOSYS;
}

#endif

/* ---- the set ---- */

int lipcsys_poller_new (bool portable, struct lipcsys_poller **ret_poller, int *ret_fd) {
  struct lipcsys_poller *p = calloc(1, sizeof *p);
  if (p == NULL) return -ENOMEM;
  p->fd = -1;
  p->gen = lipcsys_forkgen;
  int r = portable ? -ENOSYS : epoll_new(&p->fd);
  if (r < 0 && r != -ENOSYS) {
    free(p);
    return r;
  }
  *ret_poller = p;
  *ret_fd = p->fd;
  return 0;
}

void lipcsys_poller_free (struct lipcsys_poller *p) {
  if (p == NULL) return;
  free(p->want);
  free(p->polls);
  free(p);
}

int lipcsys_poller_renew (struct lipcsys_poller *p) {
  return p->fd < 0 || p->gen == lipcsys_forkgen ? 0 : epoll_renew(p);
}

unsigned lipcsys_poller_wanted (const struct lipcsys_poller *p, int fd) {
  return wanted(p, fd) & (LIPC_IN | LIPC_OUT);
}

int lipcsys_poller_count (const struct lipcsys_poller *p) { return p->count; }

int lipcsys_poller_put (struct lipcsys_poller *p, int fd, unsigned events) {
  int r = lipcsys_poller_renew(p);
  if (r < 0) return r;
  if (wanted(p, fd) == events) return 0;
  unsigned want = events;
  if (p->fd >= 0) r = epoll_put(p->fd, fd, &want);
  else r = fcntl(fd, F_GETFD) < 0 ? -errno : 0;
  if (r < 0) return r;
  r = make_room(p, fd);
  if (r == 0) note(p, fd, want);
#if HAVE_EPOLL
  else if (p->fd >= 0 && !(want & ALWAYS)) epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, NULL);
#endif
  return r;
}

void lipcsys_poller_forget (struct lipcsys_poller *p, int fd) {
  unsigned want = wanted(p, fd);
  if (want == 0) return;
#if HAVE_EPOLL
  if (p->fd >= 0 && p->gen == lipcsys_forkgen && !(want & ALWAYS))
    epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, NULL);
#endif
  note(p, fd, 0);
}

/* Those that are always ready, as far as there is room. */
static int add_always (struct lipcsys_poller *p, struct lipcsys_ready *out, int max) {
  int n = 0;
  for (int i = 0; i < p->size && n < max; i++) {
    int fd = (p->turn + i) % p->size;
    if (p->want[fd] & ALWAYS) {
      out[n].fd = fd;
      out[n++].events = p->want[fd] & (LIPC_IN | LIPC_OUT);
    }
  }
  if (n == max) p->turn = (out[n - 1].fd + 1) % p->size;
  return n;
}

static int wait_epoll (struct lipcsys_poller *p, double seconds, struct lipcsys_ready *out,
                       int max) {
#if HAVE_EPOLL
  enum { MOST = 256 };
  struct epoll_event ev[MOST];
  int room = max > MOST ? MOST : max;
  if (p->nalways > 0) {
    seconds = 0;
    if (room > 1) room /= 2;
  }
  int n = epoll_sleep(p, ev, room, seconds);
  if (n < 0) return -errno;
  for (int i = 0; i < n; i++) {
    unsigned got = ev[i].events;
    int fd = ev[i].data.fd;
    out[i].fd = fd;
    out[i].events = (got & EPOLLIN ? LIPC_IN : 0) | (got & EPOLLOUT ? LIPC_OUT : 0);
    if (got & (EPOLLERR | EPOLLHUP)) out[i].events = wanted(p, fd) & (LIPC_IN | LIPC_OUT);
  }
  return p->nalways > 0 ? n + add_always(p, out + n, max - n) : n;
#else
  (void)p, (void)seconds, (void)out, (void)max;
  return -ENOSYS;
#endif
}

static int collect_polls (struct lipcsys_poller *p) {
  struct pollfd *a = realloc(p->polls, sizeof *a * (size_t)(p->count + 1));
  if (a == NULL) return -ENOMEM;
  p->polls = a;
  p->npolls = 0;
  for (int i = 0; i < p->size; i++)
    if (p->want[i] != 0) {
      short ev = (short)((p->want[i] & LIPC_IN ? POLLIN : 0) |
                         (p->want[i] & LIPC_OUT ? POLLOUT : 0));
      a[p->npolls++] = (struct pollfd){i, ev, 0};
    }
  p->stale = false;
  return 0;
}

static int wait_poll (struct lipcsys_poller *p, double seconds, struct lipcsys_ready *out,
                      int max) {
  int r = p->stale || p->polls == NULL ? collect_polls(p) : 0;
  if (r == 0) r = lipcsys_pollmany(p->polls, (unsigned)p->npolls, seconds);
  if (r <= 0) return r;
  int n = 0;
  for (int i = 0; i < p->npolls && n < max; i++) {
    int at = (p->turn + i) % p->npolls;
    short got = p->polls[at].revents;
    if (got == 0) continue;
    out[n].fd = p->polls[at].fd;
    out[n].events = (got & POLLIN ? LIPC_IN : 0) | (got & POLLOUT ? LIPC_OUT : 0);
    if (got & (POLLERR | POLLHUP | POLLNVAL)) out[n].events = wanted(p, out[n].fd);
    n++;
    if (n == max) p->turn = (at + 1) % p->npolls;
  }
  return n;
}

int lipcsys_poller_wait (struct lipcsys_poller *p, double seconds, struct lipcsys_ready *ret_ready,
                         int max, int *ret_n) {
  int r = lipcsys_poller_renew(p);
  if (r < 0) return r;
  r = p->fd >= 0 ? wait_epoll(p, seconds, ret_ready, max) : wait_poll(p, seconds, ret_ready, max);
  if (r < 0) return r;
  *ret_n = r;
  return 0;
}
