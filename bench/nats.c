/* nats.c - the libnats clients of bench/broker.lua: nats sub|pub|reply|request URL COUNT.  A subscriber checks content
** and order of every message and prints how many came a second; request prints microseconds a round trip; reply
** answers until its input ends.  SPDX-License-Identifier: MIT */
#include "messages.h"

#include <nats/nats.h>
#include <unistd.h>

static void must (natsStatus s) {
  if (s != NATS_OK) fail(natsStatus_GetText(s));
}

static void receive (natsConnection *nc, long count) {
  natsSubscription *sub;
  natsMsg *msg;
  double start = 0;
  must(natsConnection_SubscribeSync(&sub, nc, "bench.one"));
  must(natsSubscription_SetPendingLimits(sub, -1, -1));
  must(natsConnection_Flush(nc));
  ready();
  for (long i = 0; i < count; i++) {
    must(natsSubscription_NextMsg(&msg, sub, 60000));
    check(i, natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
    if (i == 0) start = now();
  }
  print_rate(count, start);
  natsSubscription_Destroy(sub);
}

static void publish (natsConnection *nc, long count) {
  for (long i = 0; i < count; i++)
    must(natsConnection_Publish(nc, "bench.one", payload[i % DIFFERENT], SIZE));
  must(natsConnection_FlushTimeout(nc, 60000));
}

static void answer (natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure) {
  (void)sub;
  (void)closure;
  must(natsConnection_Publish(nc, natsMsg_GetReply(msg), natsMsg_GetData(msg),
                              natsMsg_GetDataLength(msg)));
  natsMsg_Destroy(msg);
}

static void reply (natsConnection *nc) {
  natsSubscription *sub;
  char c;
  must(natsConnection_Subscribe(&sub, nc, "bench.ask", answer, NULL));
  must(natsConnection_Flush(nc));
  ready();
  while (read(STDIN_FILENO, &c, 1) > 0) {}
  natsSubscription_Destroy(sub);
}

static void request (natsConnection *nc, long count) {
  natsMsg *msg;
  double start = now();
  for (long i = 0; i < count; i++) {
    must(natsConnection_Request(&msg, nc, "bench.ask", payload[i % DIFFERENT], SIZE, 60000));
    check(i, natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
  }
  printf("%.3f\n", (now() - start) / (double)count * 1e6);
}

int main (int argc, char **argv) {
  natsOptions *options;
  natsConnection *nc;
  if (argc != 4) return 2;
  long count = atol(argv[3]);
  make_payloads();
  must(nats_Open(-1));
  must(natsOptions_Create(&options));
  must(natsOptions_SetURL(options, argv[2]));
  /* else an answer waits for the library's flusher thread */
  must(natsOptions_SetSendAsap(options, argv[1][0] == 'r'));
  must(natsConnection_Connect(&nc, options));
  if (strcmp(argv[1], "sub") == 0) receive(nc, count);
  else if (strcmp(argv[1], "pub") == 0) publish(nc, count);
  else if (strcmp(argv[1], "reply") == 0) reply(nc);
  else request(nc, count);
  natsConnection_Destroy(nc);
  natsOptions_Destroy(options);
  nats_Close();
  return 0;
}
