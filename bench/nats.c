/* nats.c - the libnats side of bench/broker.lua: nats sub|pub URL COUNT.  The subscriber checks content
** and order of every message and prints how many came a second.  SPDX-License-Identifier: MIT */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIZE = 128, DIFFERENT = 4096 };

static char payload[DIFFERENT][SIZE + 1];

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must (natsStatus s) {
  if (s == NATS_OK) return;
  fprintf(stderr, "nats: %s\n", natsStatus_GetText(s));
  exit(1);
}

static void receive (natsConnection *nc, long count) {
  natsSubscription *sub;
  natsMsg *msg;
  double start = 0;
  must(natsConnection_SubscribeSync(&sub, nc, "bench.one"));
  must(natsSubscription_SetPendingLimits(sub, -1, -1));
  must(natsConnection_Flush(nc));
  printf("ready\n");
  fflush(stdout);
  for (long i = 0; i < count; i++) {
    must(natsSubscription_NextMsg(&msg, sub, 60000));
    if (natsMsg_GetDataLength(msg) != SIZE ||
        memcmp(natsMsg_GetData(msg), payload[i % DIFFERENT], SIZE) != 0) {
      fprintf(stderr, "nats: message %ld is not the one expected\n", i);
      exit(1);
    }
    natsMsg_Destroy(msg);
    if (i == 0) start = now();
  }
  printf("%.0f\n", (double)(count - 1) / (now() - start));
  natsSubscription_Destroy(sub);
}

int main (int argc, char **argv) {
  natsConnection *nc;
  if (argc != 4) return 2;
  long count = atol(argv[3]);
  for (int i = 0; i < DIFFERENT; i++) {
    memset(payload[i], 'x', SIZE);
    payload[i][snprintf(payload[i], SIZE, "%06d", i)] = ' ';
  }
  must(nats_Open(-1));
  must(natsConnection_ConnectTo(&nc, argv[2]));
  if (strcmp(argv[1], "sub") == 0) {
    receive(nc, count);
  } else {
    for (long i = 0; i < count; i++)
      must(natsConnection_Publish(nc, "bench.one", payload[i % DIFFERENT], SIZE));
    must(natsConnection_FlushTimeout(nc, 60000));
  }
  natsConnection_Destroy(nc);
  nats_Close();
  return 0;
}
