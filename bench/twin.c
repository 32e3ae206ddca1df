/* twin.c - what the benches of lipc are compared with: the same work in plain C, and the launcher
** that puts two programs on the two ends of a channel, each on a processor of its own.
**
**   twin pair pipe|pipe-blocking|unix COMMAND -- COMMAND   the first has the writing end as fd 3
**   twin send COUNT SIZE [plain|nosignal|masked]            one write a message
**   twin recv COUNT SIZE                                    prints messages per second
**   twin ping COUNT SIZE | twin pong COUNT SIZE             over fd 3 (socket) or fds 3 and 4 (pipes)
**   twin putlines COUNT | twin getlines COUNT               stdio over fd 3
**   twin spawn COUNT [MEGABYTES]                            prints microseconds for each
**
** The messages are those of bench/peer.lua and the receiver checks content and order.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x100
#endif

extern char **environ;

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die (const char *what) {
  fprintf(stderr, "twin: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void await (int fd, short events) {
  struct pollfd p = {fd, events, 0};
  poll(&p, 1, -1);
}

/* So many different messages that they and what they are compared with stay in the cache: a power of
** two, at most 256.  The same in peer.lua. */
static int variety (size_t size) {
  int n = 256;
  while (n > 4 && (size_t)n * size > 65536) n /= 2;
  return n;
}

/* Messages of `size` bytes, each begun by its number. */
static char *messages (size_t size) {
  int n = variety(size);
  char *all = malloc((size_t)n * size);
  if (all == NULL) die("malloc");
  for (int i = 0; i < n; i++) {
    char head[8];
    snprintf(head, sizeof head, "%03d ", i);
    memset(all + (size_t)i * size, 'x', size);
    memcpy(all + (size_t)i * size, head, 4);
  }
  return all;
}

enum how { PLAIN, NOSIGNAL, MASKED, SOCKET };

static ssize_t put (int fd, const char *p, size_t n, enum how how) {
  struct iovec v = {(void *)p, n};
  sigset_t sp, old;
  ssize_t r;
  switch (how) {
    case NOSIGNAL: return pwritev2(fd, &v, 1, -1, RWF_NOSIGNAL);
    case SOCKET: return send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    case MASKED:
      sigemptyset(&sp);
      sigaddset(&sp, SIGPIPE);
      pthread_sigmask(SIG_BLOCK, &sp, &old);
      r = write(fd, p, n);
      pthread_sigmask(SIG_SETMASK, &old, NULL);
      return r;
    default: return write(fd, p, n);
  }
}

static void put_all (int fd, const char *p, size_t n, enum how how) {
  while (n > 0) {
    ssize_t r = put(fd, p, n, how);
    if (r < 0 && errno == EAGAIN) {
      await(fd, POLLOUT);
      continue;
    }
    if (r < 0) die("write");
    p += r;
    n -= (size_t)r;
  }
}

static void get_all (int fd, char *p, size_t n, enum how how) {
  while (n > 0) {
    ssize_t r = how == SOCKET ? recv(fd, p, n, MSG_DONTWAIT) : read(fd, p, n);
    if (r < 0 && errno == EAGAIN) {
      await(fd, POLLIN);
      continue;
    }
    if (r <= 0) die("read");
    p += r;
    n -= (size_t)r;
  }
}

static enum how kind (int fd) {
  int type;
  socklen_t size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0) return SOCKET;
  struct iovec v = {(void *)"", 0};
  return pwritev2(fd, &v, 1, -1, RWF_NOSIGNAL) < 0 && errno == EOPNOTSUPP ? PLAIN : NOSIGNAL;
}

static const char *message (const char *all, long i, size_t size) {
  return all + (size_t)(i & (variety(size) - 1)) * size;
}

static void check (const char *got, const char *all, long i, size_t size) {
  if (memcmp(got, message(all, i, size), size) != 0) {
    fprintf(stderr, "twin: message %ld is not the one expected\n", i);
    exit(1);
  }
}

static void do_send (long count, size_t size, const char *mode) {
  char *all = messages(size);
  enum how how = kind(3);
  if (mode != NULL && how != SOCKET)
    how = strcmp(mode, "masked") == 0 ? MASKED : strcmp(mode, "plain") == 0 ? PLAIN : how;
  for (long i = 0; i < count; i++) put_all(3, message(all, i, size), size, how);
}

static void do_recv (long count, size_t size) {
  char *all = messages(size), *buf = malloc(size);
  enum how how = kind(3) == SOCKET ? SOCKET : PLAIN;
  double t = 0;
  for (long i = 0; i < count; i++) {
    get_all(3, buf, size, how);
    if (i == 0) t = now();
    check(buf, all, i, size);
  }
  printf("%.0f\n", (double)(count - 1) / (now() - t));
}

static void do_ping (long count, size_t size, int out, int in) {
  char *all = messages(size), *buf = malloc(size);
  enum how how = kind(out);
  double t = now();
  for (long i = 0; i < count; i++) {
    put_all(out, message(all, i, size), size, how);
    get_all(in, buf, size, how == SOCKET ? SOCKET : PLAIN);
    check(buf, all, i, size);
  }
  printf("%.3f\n", (now() - t) / (double)count * 1e6);
}

static void do_pong (long count, size_t size, int in, int out) {
  char *buf = malloc(size);
  enum how how = kind(out);
  for (long i = 0; i < count; i++) {
    get_all(in, buf, size, how == SOCKET ? SOCKET : PLAIN);
    put_all(out, buf, size, how);
  }
}

/* 256 lines of 50 bytes with their number in front. */
static char (*lines(void))[64] {
  static char all[256][64];
  for (int i = 0; i < 256; i++)
    snprintf(all[i], sizeof all[i], "%03d a line of text neither too long nor too short\n", i);
  return all;
}

static void do_putlines (long count) {
  char(*all)[64] = lines();
  FILE *f = fdopen(3, "w");
  for (long i = 0; i < count; i++) fputs(all[i & 255], f);
  if (fclose(f) != 0) die("fclose");
}

static void do_getlines (long count) {
  char(*all)[64] = lines(), line[256];
  FILE *f = fdopen(3, "r");
  double t = 0;
  for (long i = 0; i < count; i++) {
    if (fgets(line, sizeof line, f) == NULL) die("fgets");
    if (i == 0) t = now();
    if (strcmp(line, all[i & 255]) != 0) die("wrong line");
  }
  printf("%.0f\n", (double)(count - 1) / (now() - t));
}

static int by_value (const void *a, const void *b) {
  double d = *(const double *)a - *(const double *)b;
  return d < 0 ? -1 : d > 0;
}

static void do_spawn (long count, long megabytes) {
  char *argv[] = {"true", NULL};
  double *t = calloc((size_t)count, sizeof *t);
  if (megabytes > 0) {
    size_t n = (size_t)megabytes << 20;
    char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) die("mmap");
    memset(p, 1, n);
  }
  for (long i = 0; i < count; i++) {
    pid_t pid;
    double t0 = now();
    if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) != 0) die("posix_spawn");
    waitpid(pid, NULL, 0);
    t[i] = now() - t0;
  }
  qsort(t, (size_t)count, sizeof *t, by_value);
  printf("%.2f\n", t[count / 2] * 1e6);
}

/* Runs argv[from .. to-1] with these descriptors as 3 and 4, on that processor. */
static pid_t launch (char **argv, int from, int to, int fd3, int fd4, int cpu) {
  pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid > 0) return pid;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
  int a = fcntl(fd3, F_DUPFD, 10), b = fcntl(fd4, F_DUPFD, 10);
  if (a < 0 || b < 0 || dup2(a, 3) < 0 || dup2(b, 4) < 0) die("dup2");
  close_range(5, ~0u, 0);
  argv[to] = NULL;
  execvp(argv[from], argv + from);
  die(argv[from]);
  return -1;
}

static int do_pair (int argc, char **argv) {
  int ab[2], ba[2], mid = 3, status, bad = 0;
  bool unix_socket = strcmp(argv[2], "unix") == 0;
  int flags = strcmp(argv[2], "pipe-blocking") == 0 ? 0 : O_NONBLOCK;
  while (mid < argc && strcmp(argv[mid], "--") != 0) mid++;
  if (mid == argc) return 2;
  if (unix_socket) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ab) < 0) die("socketpair");
    ba[0] = ab[1]; /* both directions */
    ba[1] = ab[0];
    launch(argv, 3, mid, ab[0], ab[0], 0);
    launch(argv, mid + 1, argc, ab[1], ab[1], 1);
  } else {
    if (pipe2(ab, flags) < 0 || pipe2(ba, flags) < 0) die("pipe2");
    launch(argv, 3, mid, ab[1], ba[0], 0);
    launch(argv, mid + 1, argc, ab[0], ba[1], 1);
    close(ba[0]);
    close(ba[1]);
  }
  close(ab[0]);
  close(ab[1]);
  for (int i = 0; i < 2; i++) {
    wait(&status);
    bad |= status;
  }
  return bad != 0;
}

int main (int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  long count = argc > 2 ? atol(argv[2]) : 0;
  size_t size = argc > 3 ? (size_t)atol(argv[3]) : 64;
  if (strcmp(what, "pair") == 0) return do_pair(argc, argv);
  int other = kind(3) == SOCKET ? 3 : 4;
  if (strcmp(what, "send") == 0) do_send(count, size, argc > 4 ? argv[4] : NULL);
  else if (strcmp(what, "recv") == 0) do_recv(count, size);
  else if (strcmp(what, "ping") == 0) do_ping(count, size, 3, other);
  else if (strcmp(what, "pong") == 0) do_pong(count, size, 3, other);
  else if (strcmp(what, "putlines") == 0) do_putlines(count);
  else if (strcmp(what, "getlines") == 0) do_getlines(count);
  else if (strcmp(what, "spawn") == 0) do_spawn(count, argc > 3 ? atol(argv[3]) : 0);
  else return 2;
  return 0;
}
