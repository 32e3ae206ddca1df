/* sigpeer.c - takes and sends queued signals as any program in C would.
**
**   build/host/sigpeer take n       blocks SIGRTMIN+1, prints "ready pid", then "value pid" of n signals
**   build/host/sigpeer send pid v   queues SIGRTMIN+1 with value v for pid, prints its own pid
**
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main (int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  alarm(120);
  if (argc == 3 && strcmp(argv[1], "take") == 0) {
    sigset_t set;
    siginfo_t si;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    printf("ready %d\n", (int)getpid());
    for (int n = atoi(argv[2]); n > 0; n--) {
      if (sigwaitinfo(&set, &si) < 0 || si.si_code != SI_QUEUE) return 1;
      printf("%d %d\n", si.si_value.sival_int, (int)si.si_pid);
    }
    return 0;
  }
  if (argc == 4 && strcmp(argv[1], "send") == 0) {
    union sigval v;
    memset(&v, 0, sizeof v);
    v.sival_int = atoi(argv[3]);
    printf("%d\n", (int)getpid());
    return sigqueue(atoi(argv[2]), SIGRTMIN + 1, v) != 0;
  }
  return 2;
}
