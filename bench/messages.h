/* messages.h - what the C clients of bench/broker.lua have in common: the messages, as bench/peer_broker.lua
** has them, and the clock.  SPDX-License-Identifier: MIT */
#ifndef MESSAGES_H
#define MESSAGES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIZE = 128, DIFFERENT = 4096 };

static char payload[DIFFERENT][SIZE + 1];

static inline void make_payloads (void) {
  for (int i = 0; i < DIFFERENT; i++) {
    memset(payload[i], 'x', SIZE);
    payload[i][snprintf(payload[i], SIZE, "%06d", i)] = ' ';
  }
}

static inline double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void ready (void) {
  printf("ready\n");
  fflush(stdout);
}

static inline void fail (const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

/* Checks the content of the next message received. */
static inline void check (long i, const void *data, size_t size) {
  if (size == SIZE && memcmp(data, payload[i % DIFFERENT], SIZE) == 0) return;
  fprintf(stderr, "message %ld is not the one expected: %.6s\n", i,
          size < 6 ? "" : (const char *)data);
  exit(1);
}

/* What the subscriber prints: messages a second after the first one. */
static inline void print_rate (long count, double start) {
  printf("%.0f\n", (double)(count - 1) / (now() - start));
}

#endif
