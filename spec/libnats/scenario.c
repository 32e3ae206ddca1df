/* scenario.c - what a program on libnats does with a broker, step by step; run by
** spec/broker_libnats_spec.lua.  scenario URL: prints a line for each step; ends with 1 at the first
** that fails.  At "restart now" it waits until the broker has gone and come again, and after "back"
** for a message to "after".  SPDX-License-Identifier: MIT */
#include <nats/nats.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT 30000 /* ms */

static natsConnection *conn;

static void check (bool ok, const char *what) {
  if (ok) return;
  printf("failed: %s: %s\n", what, nats_GetLastError(NULL));
  exit(1);
}

static void expect (natsSubscription *sub, const char *subject, const char *data) {
  natsMsg *msg = NULL;
  check(natsSubscription_NextMsg(&msg, sub, WAIT) == NATS_OK, data);
  check(strcmp(natsMsg_GetSubject(msg), subject) == 0, subject);
  check(strcmp(natsMsg_GetData(msg), data) == 0, data);
  natsMsg_Destroy(msg);
}

static void nothing (natsSubscription *sub, const char *what) {
  natsMsg *msg = NULL;
  natsStatus s = natsSubscription_NextMsg(&msg, sub, 1);
  check(s == NATS_TIMEOUT || s == NATS_MAX_DELIVERED_MSGS || s == NATS_INVALID_SUBSCRIPTION, what);
}

static natsSubscription *subscribe (const char *subject) {
  natsSubscription *sub = NULL;
  check(natsConnection_SubscribeSync(&sub, conn, subject) == NATS_OK, subject);
  return sub;
}

static void publish (const char *subject, const char *data) {
  check(natsConnection_PublishString(conn, subject, data) == NATS_OK, subject);
}

static void flush (void) { check(natsConnection_FlushTimeout(conn, WAIT) == NATS_OK, "flush"); }

static void plain (void) {
  natsSubscription *sub = subscribe("plain");
  publish("plain", "one");
  publish("other", "no");
  publish("plain", "two");
  expect(sub, "plain", "one");
  expect(sub, "plain", "two");
  check(natsSubscription_Unsubscribe(sub) == NATS_OK, "unsubscribe");
  publish("plain", "three");
  flush();
  nothing(sub, "after unsubscribe");
  natsSubscription_Destroy(sub);
}

static void wildcards (void) {
  natsSubscription *star = subscribe("w.*.c"), *all = subscribe("w.>");
  publish("w.b.c", "1");
  publish("w.b", "2");
  publish("w.b.c.d", "3");
  flush();
  expect(star, "w.b.c", "1");
  nothing(star, "star");
  expect(all, "w.b.c", "1");
  expect(all, "w.b", "2");
  expect(all, "w.b.c.d", "3");
  natsSubscription_Destroy(star);
  natsSubscription_Destroy(all);
}

static void queue (void) {
  enum { MEMBERS = 3, MESSAGES = 300 };
  natsSubscription *member[MEMBERS];
  int total = 0;
  for (int i = 0; i < MEMBERS; i++)
    check(natsConnection_QueueSubscribeSync(&member[i], conn, "jobs", "workers") == NATS_OK,
          "queue");
  for (int i = 0; i < MESSAGES; i++) publish("jobs", "x");
  flush();
  for (int i = 0; i < MEMBERS; i++) {
    uint64_t n = 0;
    check(natsSubscription_GetPending(member[i], NULL, NULL) == NATS_OK, "pending");
    check(natsSubscription_QueuedMsgs(member[i], &n) == NATS_OK && n > 0, "a member without work");
    total += (int)n;
    natsSubscription_Destroy(member[i]);
  }
  check(total == MESSAGES, "each message to one member");
}

static void answer (natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure) {
  char text[64];
  (void)sub;
  (void)closure;
  snprintf(text, sizeof text, "%d", 2 * atoi(natsMsg_GetData(msg)));
  natsConnection_PublishString(nc, natsMsg_GetReply(msg), text);
  natsMsg_Destroy(msg);
}

static void requests (void) {
  natsSubscription *sub = NULL;
  check(natsConnection_Subscribe(&sub, conn, "double", answer, NULL) == NATS_OK, "subscribe");
  for (int i = 0; i < 100; i++) {
    natsMsg *reply = NULL;
    char text[64], twice[64];
    snprintf(text, sizeof text, "%d", i);
    snprintf(twice, sizeof twice, "%d", 2 * i);
    check(natsConnection_RequestString(&reply, conn, "double", text, WAIT) == NATS_OK, "request");
    check(strcmp(natsMsg_GetData(reply), twice) == 0, "answer");
    natsMsg_Destroy(reply);
  }
  natsMsg *none = NULL;
  check(natsConnection_RequestString(&none, conn, "nobody", "x", WAIT) == NATS_NO_RESPONDERS,
        "no responders");
  natsSubscription_Destroy(sub);
}

static void maximum (void) {
  natsSubscription *sub = subscribe("max");
  check(natsSubscription_AutoUnsubscribe(sub, 2) == NATS_OK, "auto unsubscribe");
  for (int i = 0; i < 5; i++) publish("max", "x");
  flush();
  expect(sub, "max", "x");
  expect(sub, "max", "x");
  nothing(sub, "beyond the maximum");
  natsSubscription_Destroy(sub);
}

static void headers (void) {
  natsSubscription *sub = subscribe("head");
  natsMsg *msg = NULL;
  const char *value = NULL;
  check(natsMsg_Create(&msg, "head", NULL, "data", 4) == NATS_OK, "message");
  check(natsMsgHeader_Set(msg, "Trace", "42") == NATS_OK, "header");
  check(natsConnection_PublishMsg(conn, msg) == NATS_OK, "publish");
  natsMsg_Destroy(msg);
  check(natsSubscription_NextMsg(&msg, sub, WAIT) == NATS_OK, "next");
  check(natsMsgHeader_Get(msg, "Trace", &value) == NATS_OK && strcmp(value, "42") == 0, "value");
  check(natsMsg_GetDataLength(msg) == 4, "data");
  natsMsg_Destroy(msg);
  natsSubscription_Destroy(sub);
}

static void big (void) {
  natsSubscription *sub = subscribe("big");
  int64_t max = natsConnection_GetMaxPayload(conn);
  char *data = malloc((size_t)max + 1);
  natsMsg *msg = NULL;
  for (int64_t i = 0; i <= max; i++) data[i] = (char)(i * 7);
  for (int i = 0; i < 5; i++)
    check(natsConnection_Publish(conn, "big", data, (int)max) == NATS_OK, "publish the largest");
  for (int i = 0; i < 5; i++) {
    check(natsSubscription_NextMsg(&msg, sub, WAIT) == NATS_OK, "next");
    check(natsMsg_GetDataLength(msg) == max && memcmp(natsMsg_GetData(msg), data, (size_t)max) == 0,
          "content");
    natsMsg_Destroy(msg);
  }
  check(natsConnection_Publish(conn, "big", data, (int)max + 1) == NATS_MAX_PAYLOAD, "too large");
  free(data);
  natsSubscription_Destroy(sub);
}

/* The subscriptions are on their way again: the server has them when it answers. */
static void reconnected (natsConnection *nc, void *closure) {
  (void)closure;
  check(natsConnection_FlushTimeout(nc, WAIT) == NATS_OK, "flush");
  puts("back");
}

static void restart (void) {
  natsSubscription *sub = subscribe("after"), *member = NULL;
  check(natsConnection_QueueSubscribeSync(&member, conn, "after", "g") == NATS_OK, "subscribe");
  flush();
  puts("restart now");
  expect(sub, "after", "again");
  expect(member, "after", "again");
  natsSubscription_Destroy(sub);
  natsSubscription_Destroy(member);
}

static void drain (void) {
  natsSubscription *sub = subscribe("last");
  for (int i = 0; i < 500; i++) publish("last", "x");
  flush();
  check(natsSubscription_Drain(sub) == NATS_OK, "drain");
  for (int i = 0; i < 500; i++) expect(sub, "last", "x");
  check(natsSubscription_WaitForDrainCompletion(sub, WAIT) == NATS_OK, "drained");
  natsSubscription_Destroy(sub);
  check(natsConnection_Drain(conn) == NATS_OK, "drain all");
}

static void open_connection (const char *url) {
  natsOptions *options = NULL;
  check(natsOptions_Create(&options) == NATS_OK, "options");
  check(natsOptions_SetURL(options, url) == NATS_OK, "url");
  check(natsOptions_SetReconnectWait(options, 20) == NATS_OK, "reconnect wait");
  check(natsOptions_SetMaxReconnect(options, WAIT / 20) == NATS_OK, "reconnects");
  check(natsOptions_SetReconnectedCB(options, reconnected, NULL) == NATS_OK, "callback");
  check(natsConnection_Connect(&conn, options) == NATS_OK, "connect");
  natsOptions_Destroy(options);
}

int main (int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } steps[] = {{"plain", plain},       {"wildcards", wildcards}, {"queue", queue},
               {"requests", requests}, {"maximum", maximum},     {"headers", headers},
               {"big", big},           {"restart", restart},     {"drain", drain}};
  setvbuf(stdout, NULL, _IOLBF, 0);
  check(argc == 2 && nats_Open(-1) == NATS_OK, "open");
  open_connection(argv[1]);
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    steps[i].run();
    printf("%s\n", steps[i].name);
  }
  natsConnection_Destroy(conn);
  nats_Close();
  return 0;
}
