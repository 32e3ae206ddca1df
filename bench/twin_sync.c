/* twin_sync.c - the C side of bench/sync.lua.
**
**   twin_sync mutex|with|sem|rdlock|wrlock|contended COUNT    prints nanoseconds for each pair of operations
**
** The mutex is robust and process-shared, the rwlock process-shared, as a program in C would have them.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct shared {
  pthread_mutex_t mutex;
  sem_t sem;
  pthread_rwlock_t rwlock;
  volatile int64_t n;
} * s;

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void setup (void) {
  pthread_mutexattr_t ma;
  pthread_rwlockattr_t ra;
  s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_init(&ma);
  pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&s->mutex, &ma);
  pthread_rwlockattr_init(&ra);
  pthread_rwlockattr_setpshared(&ra, PTHREAD_PROCESS_SHARED);
  pthread_rwlock_init(&s->rwlock, &ra);
  sem_init(&s->sem, 1, 1);
}

static void count_up (long count) {
  for (long i = 0; i < count; i++) {
    pthread_mutex_lock(&s->mutex);
    s->n = s->n + 1;
    pthread_mutex_unlock(&s->mutex);
  }
}

static void contended (long count) {
  pid_t child = fork();
  count_up(count);
  if (child == 0) _exit(0);
  waitpid(child, NULL, 0);
  if (s->n != 2 * count) exit(1);
}

int main (int argc, char **argv) {
  if (argc != 3) return 2;
  const char *what = argv[1];
  long count = atol(argv[2]);
  setup();
  double started = now();
  if (strcmp(what, "contended") == 0) {
    contended(count);
  } else if (strcmp(what, "sem") == 0) {
    for (long i = 0; i < count; i++) {
      sem_wait(&s->sem);
      sem_post(&s->sem);
    }
  } else if (strcmp(what, "rdlock") == 0 || strcmp(what, "wrlock") == 0) {
    for (long i = 0; i < count; i++) {
      if (what[0] == 'r') pthread_rwlock_rdlock(&s->rwlock);
      else pthread_rwlock_wrlock(&s->rwlock);
      pthread_rwlock_unlock(&s->rwlock);
    }
  } else {
    for (long i = 0; i < count; i++) {
      pthread_mutex_lock(&s->mutex);
      pthread_mutex_unlock(&s->mutex);
    }
  }
  printf("%.3f\n", (now() - started) / (double)count * 1e9);
  return 0;
}
