/* sys_resolve.c - getaddrinfo(3) in a thread of its own, because it cannot be asked not to block.
** The job is shared by its thread and its starter; whoever lets go last frees it.  fork: the child
** has no such thread and only drops the job.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAXADDRS    16
#define THREADSTACK ((size_t)512 * 1024) /* resolver modules keep buffers on the stack */

#define SIGN        (EAI_NONAME < 0 ? -1 : 1)

const char *lipcsys_lookupname (int n) {
  static const struct {
    int err;
    const char *name;
  } names[] = {
#define N(name) {name, #name}
    N(EAI_AGAIN),      N(EAI_BADFLAGS), N(EAI_FAIL),    N(EAI_FAMILY),
    N(EAI_MEMORY),     N(EAI_NONAME),   N(EAI_SERVICE), N(EAI_SOCKTYPE),
#ifdef EAI_NODATA
    N(EAI_NODATA),
#endif
#ifdef EAI_ADDRFAMILY
    N(EAI_ADDRFAMILY),
#endif
#undef N
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].err * SIGN == n) return names[i].name;
  return "EAI_FAIL";
}

const char *lipcsys_lookuptext (int n) { return gai_strerror(n * SIGN); }

enum { RUNNING, TELLING, DONE, DROPPED };

struct lipcsys_lookup {
  _Atomic int state;
  unsigned forkgen;
  int tell, hear; /* written by the thread when done; the starter's to close while it runs */
  int family, type, port;
  int err, n;
  struct lipcsys_addr addr[MAXADDRS];
  char host[];
};

static void discard (struct lipcsys_lookup *job) {
  close(job->hear);
  if (job->tell != job->hear) close(job->tell);
  free(job);
}

static void resolve (struct lipcsys_lookup *job) {
  struct addrinfo hints = {0}, *list = NULL;
  char port[8];
  hints.ai_family = job->family == LIPC_AF_INET    ? AF_INET
                    : job->family == LIPC_AF_INET6 ? AF_INET6
                                                   : AF_UNSPEC;
  hints.ai_socktype = job->type == LIPC_SOCK_DGRAM ? SOCK_DGRAM : SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  snprintf(port, sizeof port, "%d", job->port);
  int e = getaddrinfo(job->host, port, &hints, &list);
  if (e == EAI_SYSTEM) job->err = errno != 0 ? -errno : -EIO;
  else if (e == EAI_MEMORY) job->err = -ENOMEM;
  else if (e != 0) job->err = -(LIPC_EGAI + (e < 0 ? -e : e));
  for (struct addrinfo *i = list; e == 0 && i != NULL && job->n < MAXADDRS; i = i->ai_next) {
    if (i->ai_addrlen > sizeof job->addr[0].bytes) continue;
    job->addr[job->n].size = (unsigned)i->ai_addrlen;
    memcpy(job->addr[job->n++].bytes, i->ai_addr, i->ai_addrlen);
  }
  if (e == 0) freeaddrinfo(list);
  if (e == 0 && job->n == 0) job->err = -EADDRNOTAVAIL;
}

static void *run (void *arg) {
  struct lipcsys_lookup *job = arg;
  int expected = RUNNING;
  resolve(job);
  if (!atomic_compare_exchange_strong(&job->state, &expected, TELLING)) {
    free(job); /* dropped meanwhile, and its descriptors closed */
    return NULL;
  }
  const uint64_t one = 1;
  ssize_t n;
  do n = write(job->tell, &one, sizeof one);
  while (n < 0 && errno == EINTR);
  expected = TELLING;
  if (!atomic_compare_exchange_strong(&job->state, &expected, DONE)) discard(job);
  return NULL;
}

/* Detached, and with every signal blocked: the host's handlers run on the host's threads. */
static int start (struct lipcsys_lookup *job) {
  pthread_attr_t attr;
  pthread_t thread;
  sigset_t all, old;
  int e = pthread_attr_init(&attr);
  if (e != 0) return -e;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, THREADSTACK);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  e = pthread_create(&thread, &attr, run, job);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attr);
  return -e;
}

int lipcsys_lookup (const char *host, int port, int family, int type,
                    struct lipcsys_lookup **ret_job, int *ret_fd) {
  size_t len = strlen(host) + 1;
  struct lipcsys_lookup *job = calloc(1, sizeof *job + len);
  if (job == NULL) return -ENOMEM;
  memcpy(job->host, host, len);
  job->port = port;
  job->family = family;
  job->type = type;
  job->forkgen = lipcsys_forkgen;
  int fds[2], r = lipcsys_eventfd(0, false, &fds[0]);
  fds[1] = fds[0];
  if (r == -ENOSYS) r = lipcsys_pipe(false, fds);
  if (r < 0) {
    free(job);
    return r;
  }
  job->hear = fds[0];
  job->tell = fds[1];
  r = start(job);
  if (r < 0) {
    discard(job);
    return r;
  }
  *ret_job = job;
  *ret_fd = fds[0];
  return 0;
}

int lipcsys_lookedup (struct lipcsys_lookup *job, struct lipcsys_addr *addrs, int max, int *ret_n) {
  int state = atomic_load(&job->state);
  if (state == RUNNING) return job->forkgen == lipcsys_forkgen ? -EAGAIN : -ECANCELED;
  if (job->err < 0) return job->err;
  int n = job->n < max ? job->n : max;
  memcpy(addrs, job->addr, (size_t)n * sizeof *addrs);
  *ret_n = n;
  return 0;
}

void lipcsys_lookup_drop (struct lipcsys_lookup *job) {
  int state = DONE;
  if (job->forkgen == lipcsys_forkgen) state = atomic_load(&job->state);
  if (state == RUNNING) {
    int hear = job->hear, tell = job->tell;
    /* until the exchange the thread may still write: close after it, and only if it was in time */
    if (atomic_compare_exchange_strong(&job->state, &state, DROPPED)) {
      close(hear);
      if (tell != hear) close(tell);
      return;
    }
  }
  if (state == TELLING && atomic_compare_exchange_strong(&job->state, &state, DROPPED)) return;
  discard(job);
}
