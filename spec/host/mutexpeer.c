/* mutexpeer.c - a program in C with a pthread mutex in a shared memory object, for the specs:
**   mutexpeer count|die|take|try|make|post NAME OFFSET [COUNT]
** count: adds to the number at offset 0, locked; post: of a semaphore.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main (int argc, char **argv) {
  int fd = argc > 3 ? shm_open(argv[2], O_RDWR, 0) : -1;
  if (fd < 0) return perror("mutexpeer"), 1;
  char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) return perror("mutexpeer"), 1;
  pthread_mutex_t *m = (pthread_mutex_t *)(p + atoi(argv[3]));
  volatile int64_t *n = (volatile int64_t *)p;
  const char *what = argv[1];
  if (strcmp(what, "count") == 0) {
    for (int i = atoi(argv[4]); i > 0; i--) {
      if (pthread_mutex_lock(m) != 0) return 2;
      *n = *n + 1;
      if (pthread_mutex_unlock(m) != 0) return 3;
    }
    puts("done");
  } else if (strcmp(what, "die") == 0) {
    if (pthread_mutex_lock(m) != 0) return 2;
    puts("locked");
    fflush(stdout);
    raise(SIGKILL);
  } else if (strcmp(what, "take") == 0) {
    int r = pthread_mutex_lock(m);
    puts(r == EOWNERDEAD ? "dead" : r == 0 ? "free" : strerror(r));
    if (r == EOWNERDEAD) pthread_mutex_consistent(m);
    pthread_mutex_unlock(m);
  } else if (strcmp(what, "post") == 0) {
    puts(sem_post((sem_t *)m) == 0 ? "posted" : "failed");
  } else if (strcmp(what, "try") == 0) {
    puts(pthread_mutex_trylock(m) == EBUSY ? "busy" : "free");
  } else {
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    puts(pthread_mutex_init(m, &a) == 0 ? "made" : "not made");
  }
  return 0;
}
