/* twin_view.c - the C side of the benches of views, and the launcher that gives two programs one shared
** memory object, each on a processor of its own.
**
**   twin_view pair COMMAND -- COMMAND    SHM in the environment is the object's name; the second one prints
**   twin_view count DISTANCE COUNT       role of a pair: nanoseconds for each atomic addition to a counter
**                                        of its own, DISTANCE bytes from the other's
**   twin_view out|in SIZE COUNT          nanoseconds for each copy out of shared memory into memory that is
**                                        allocated for it, as a string is, or into shared memory
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARENA 4096

/* Processor time: nobody waits here for anything. */
static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die (const char *what) {
  perror(what);
  exit(1);
}

/* Word 0 of the object counts who is there, for a common start.  Where others use the processors too the
** two rarely run at the same time: what it costs when they do is in the slower chunks, of which the one
** at nine tenths is printed. */
#define CHUNK 500

static int slower (const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static int count (size_t distance, long n) {
  int fd = shm_open(getenv("SHM"), O_RDWR, 0);
  char *p = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  double *chunks = malloc((size_t)(n / CHUNK + 1) * sizeof *chunks);
  if (p == MAP_FAILED || chunks == NULL) die("memory");
  _Atomic int64_t *start = (_Atomic int64_t *)p;
  int64_t me = atomic_fetch_add(start, 1);
  _Atomic int64_t *mine = (_Atomic int64_t *)(p + 1024 + (size_t)me * distance);
  while (atomic_load(start) < 2) continue;
  for (long c = 0; c < n / CHUNK; c++) {
    double t = now();
    for (int i = 0; i < CHUNK; i++) atomic_fetch_add(mine, 1);
    chunks[c] = now() - t;
  }
  if (*mine != n / CHUNK * CHUNK) return 1;
  qsort(chunks, (size_t)(n / CHUNK), sizeof *chunks, slower);
  if (getenv("PRINTS") != NULL) printf("%.3f\n", chunks[n / CHUNK * 9 / 10] / CHUNK * 1e9);
  return 0;
}

/* So many bytes are kept at a time, and freed outside the clock: as strings are by a collector. */
#define BATCH 4000000

static int copies (const char *what, size_t size, long n) {
  char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char *from = malloc(size);
  long batch = size < BATCH ? (long)(BATCH / size) : 1;
  char **all = calloc((size_t)batch, sizeof *all);
  double spent = 0;
  if (p == MAP_FAILED || from == NULL || all == NULL) die("memory");
  memset(p, 'x', size);
  memset(from, 'y', size);
  for (long done = 0; done < n; done += batch) {
    double t = now();
    for (long i = 0; i < batch && done + i < n; i++) {
      if (strcmp(what, "in") == 0) {
        memcpy(p, from, size);
      } else {
        all[i] = malloc(size + 1);
        if (all[i] == NULL) die("malloc");
        memcpy(all[i], p, size);
      }
      __asm__ volatile("" ::"r"(p), "r"(all) : "memory");
    }
    spent += now() - t;
    for (long i = 0; i < batch; i++) {
      free(all[i]);
      all[i] = NULL;
    }
  }
  printf("%.3f\n", spent / (double)n * 1e9);
  return 0;
}

static int pair (int argc, char **argv) {
  char name[64];
  int mid = 2, bad = 0, status;
  while (mid < argc && strcmp(argv[mid], "--") != 0) mid++;
  if (mid >= argc - 1) return 2;
  snprintf(name, sizeof name, "/lipc-%d-bench-view", (int)getpid());
  int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd < 0 || ftruncate(fd, ARENA) < 0) die(name);
  setenv("SHM", name, 1);
  argv[mid] = NULL;
  for (int i = 0; i < 2; i++) {
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid > 0) continue;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(i, &set);
    sched_setaffinity(0, sizeof set, &set);
    if (i == 1) setenv("PRINTS", "1", 1);
    char **command = argv + (i == 0 ? 2 : mid + 1);
    execvp(command[0], command);
    die(command[0]);
  }
  for (int i = 0; i < 2; i++) {
    wait(&status);
    bad |= status;
  }
  shm_unlink(name);
  return bad != 0;
}

int main (int argc, char **argv) {
  const char *what = argc > 3 ? argv[1] : "";
  if (strcmp(what, "pair") == 0) return pair(argc, argv);
  if (strcmp(what, "count") == 0) return count((size_t)atol(argv[2]), atol(argv[3]));
  if (strcmp(what, "in") == 0 || strcmp(what, "out") == 0)
    return copies(what, (size_t)atol(argv[2]), atol(argv[3]));
  return 2;
}
