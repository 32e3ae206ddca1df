/* twin_map.c - what bench/peer_map.lua does, in C: microseconds on standard output.
**   twin_map create name bytes rounds     makes, maps, unmaps and removes a shared memory object
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int failed (const char *what) {
  perror(what);
  return 1;
}

static int create (const char *name, size_t size, int rounds) {
  double start = now();
  for (int i = 0; i < rounds; i++) {
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0) return failed("shm_open");
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return failed("mmap");
    p[0] = p[size - 1] = 1;
    shm_unlink(name);
    munmap(p, size);
    close(fd);
  }
  printf("%.3f\n", (now() - start) / rounds * 1e6);
  return 0;
}

int main (int argc, char **argv) {
  if (argc == 5 && strcmp(argv[1], "create") == 0)
    return create(argv[2], (size_t)atol(argv[3]), atoi(argv[4]));
  return 2;
}
