/* twin.c - POSIX message queues as any program in C uses them.
**
**   twin create name maxmsg msgsize mode   makes it, O_EXCL; the mode in octal
**   twin unlink name
**   twin attr name                         prints "flags maxmsg msgsize curmsgs"
**   twin send name prio hex [prio hex]...  sends these, blocking; prints "sent"
**   twin numbers name n size               sends n messages, each its number and zeros up to size bytes
**   twin receive name n                    prints "receiving pid", then "prio hex" of n messages, blocking
**   twin notify name signo value           asks to be notified, prints "asked", then the siginfo; signo 0:
**                                          by nothing, -1: by a thread, until its standard input ends
**   twin exec name flags command...        opens it as descriptor 9, "b"locking or "n"ot, and runs that
**
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail (const char *what) {
  printf("%s: %s\n", what, strerror(errno));
  return 1;
}

static size_t from_hex (const char *hex, char *out) {
  size_t n = 0;
  for (unsigned byte; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++) out[n] = (char)byte;
  return n;
}

static int send_all (mqd_t q, char **argv) {
  static char data[1 << 16];
  for (; argv[0] != NULL && argv[1] != NULL; argv += 2)
    if (mq_send(q, data, from_hex(argv[1], data), (unsigned)atoi(argv[0])) < 0)
      return fail("mq_send");
  printf("sent\n");
  return 0;
}

static int send_numbers (mqd_t q, int n, size_t size) {
  char *data = calloc(1, size);
  for (int i = 1; i <= n; i++) {
    memcpy(data, &i, sizeof i);
    if (mq_send(q, data, size, 0) < 0) return fail("mq_send");
  }
  free(data);
  return 0;
}

static int receive (mqd_t q, int n) {
  struct mq_attr attr;
  if (mq_getattr(q, &attr) < 0) return fail("mq_getattr");
  char *data = malloc((size_t)attr.mq_msgsize);
  printf("receiving %d\n", (int)getpid());
  while (n-- > 0) {
    unsigned prio;
    ssize_t size = mq_receive(q, data, (size_t)attr.mq_msgsize, &prio);
    if (size < 0) return fail("mq_receive");
    printf("%u ", prio);
    for (ssize_t i = 0; i < size; i++) printf("%02x", (unsigned)data[i] & 0xff);
    printf("\n");
  }
  free(data);
  return 0;
}

static void called (union sigval v) { (void)v; }

static int notify (mqd_t q, int signo, int value) {
  struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signo};
  sigset_t set;
  if (signo <= 0) {
    ev.sigev_notify = signo < 0 ? SIGEV_THREAD : SIGEV_NONE;
    ev.sigev_notify_function = called;
    if (mq_notify(q, &ev) < 0) return fail("mq_notify");
    printf("asked\n");
    while (getchar() != EOF) {}
    return 0;
  }
  siginfo_t si;
  ev.sigev_value.sival_int = value;
  sigemptyset(&set);
  sigaddset(&set, signo);
  sigprocmask(SIG_BLOCK, &set, NULL);
  if (mq_notify(q, &ev) < 0) return fail("mq_notify");
  printf("asked\n");
  if (sigwaitinfo(&set, &si) < 0) return fail("sigwaitinfo");
  printf("%s %d from %d\n", si.si_code == SI_MESGQ ? "SI_MESGQ" : "?", si.si_value.sival_int,
         (int)si.si_pid);
  return 0;
}

int main (int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc < 3) return 2;
  const char *what = argv[1], *name = argv[2];
  if (strcmp(what, "create") == 0 && argc == 6) {
    struct mq_attr attr = {.mq_maxmsg = atol(argv[3]), .mq_msgsize = atol(argv[4])};
    umask(0);
    if (mq_open(name, O_CREAT | O_EXCL | O_RDWR, (mode_t)strtol(argv[5], NULL, 8), &attr) < 0)
      return fail("mq_open");
    return 0;
  }
  if (strcmp(what, "unlink") == 0) return mq_unlink(name) < 0 ? fail("mq_unlink") : 0;
  alarm(120);
  mqd_t q = mq_open(name, O_RDWR | (strcmp(what, "exec") == 0 && *argv[3] == 'n' ? O_NONBLOCK : 0));
  if (q < 0) return fail("mq_open");
  if (strcmp(what, "attr") == 0) {
    struct mq_attr attr;
    if (mq_getattr(q, &attr) < 0) return fail("mq_getattr");
    printf("%ld %ld %ld %ld\n", attr.mq_flags, attr.mq_maxmsg, attr.mq_msgsize, attr.mq_curmsgs);
    return 0;
  }
  if (strcmp(what, "send") == 0) return send_all(q, argv + 3);
  if (strcmp(what, "numbers") == 0) return send_numbers(q, atoi(argv[3]), (size_t)atol(argv[4]));
  if (strcmp(what, "receive") == 0) return receive(q, atoi(argv[3]));
  if (strcmp(what, "notify") == 0) return notify(q, atoi(argv[3]), atoi(argv[4]));
  if (strcmp(what, "exec") == 0) {
    if (dup2(q, 9) < 0) return fail("dup2");
    execvp(argv[4], argv + 4);
    return fail(argv[4]);
  }
  return 2;
}
