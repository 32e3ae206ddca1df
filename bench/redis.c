/* redis.c - the libhiredis clients of bench/broker.lua: redis sub|pub PORT COUNT.  The publisher sends commands in
** batches, as redis wants it.  SPDX-License-Identifier: MIT */
#include "messages.h"

#include <hiredis/hiredis.h>

enum { BATCH = 512 };

static redisReply *answer (redisContext *c) {
  void *reply;
  if (redisGetReply(c, &reply) != REDIS_OK || ((redisReply *)reply)->type == REDIS_REPLY_ERROR)
    fail("redis: no answer");
  return reply;
}

static void receive (redisContext *c, long count) {
  double start = 0;
  redisAppendCommand(c, "SUBSCRIBE bench.one");
  freeReplyObject(answer(c));
  ready();
  for (long i = 0; i < count; i++) {
    redisReply *reply = answer(c);
    if (reply->elements != 3) fail("redis: no message");
    check(i, reply->element[2]->str, reply->element[2]->len);
    freeReplyObject(reply);
    if (i == 0) start = now();
  }
  print_rate(count, start);
}

static void publish (redisContext *c, long count) {
  const char *args[] = {"PUBLISH", "bench.one", NULL};
  const size_t sizes[] = {7, 9, SIZE};
  for (long i = 0, waiting = 0; i < count; i++) {
    args[2] = payload[i % DIFFERENT];
    redisAppendCommandArgv(c, 3, args, sizes);
    if (++waiting == BATCH || i == count - 1)
      for (; waiting > 0; waiting--) freeReplyObject(answer(c));
  }
}

int main (int argc, char **argv) {
  if (argc != 4) return 2;
  make_payloads();
  redisContext *c = redisConnect("127.0.0.1", atoi(argv[2]));
  if (c == NULL || c->err) fail("redis: no connection");
  (strcmp(argv[1], "sub") == 0 ? receive : publish)(c, atol(argv[3]));
  redisFree(c);
  return 0;
}
