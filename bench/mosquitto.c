/* mosquitto.c - the libmosquitto clients of bench/broker.lua: mosquitto sub|pub PORT COUNT, at QoS 0.
** SPDX-License-Identifier: MIT */
#include "messages.h"

#include <mosquitto.h>
#include <poll.h>

static long count, received;
static double start;
static int connected;

static void must (int rc) {
  if (rc != MOSQ_ERR_SUCCESS) fail(mosquitto_strerror(rc));
}

static void on_connect (struct mosquitto *m, void *closure, int rc) {
  (void)m;
  (void)closure;
  if (rc != 0) fail("mosquitto: refused");
  connected = 1;
}

static void on_subscribe (struct mosquitto *m, void *closure, int mid, int n, const int *qos) {
  (void)m;
  (void)closure;
  (void)mid;
  (void)n;
  (void)qos;
  ready();
}

static void on_message (struct mosquitto *m, void *closure, const struct mosquitto_message *msg) {
  (void)closure;
  check(received, msg->payload, (size_t)msg->payloadlen);
  if (received++ == 0) start = now();
  if (received < count) return;
  print_rate(count, start);
  mosquitto_disconnect(m);
}

static void publish (struct mosquitto *m) {
  struct pollfd p = {.fd = mosquitto_socket(m), .events = POLLOUT};
  for (long i = 0; i < count; i++) {
    must(mosquitto_publish(m, NULL, "bench/one", SIZE, payload[i % DIFFERENT], 0, false));
    while (mosquitto_want_write(m)) {
      poll(&p, 1, -1);
      must(mosquitto_loop_write(m, 1));
    }
  }
  mosquitto_disconnect(m);
}

int main (int argc, char **argv) {
  if (argc != 4) return 2;
  count = atol(argv[3]);
  make_payloads();
  mosquitto_lib_init();
  struct mosquitto *m = mosquitto_new(NULL, true, NULL);
  mosquitto_connect_callback_set(m, on_connect);
  mosquitto_subscribe_callback_set(m, on_subscribe);
  mosquitto_message_callback_set(m, on_message);
  must(mosquitto_connect(m, "127.0.0.1", atoi(argv[2]), 60));
  while (!connected) must(mosquitto_loop(m, -1, 1));
  if (strcmp(argv[1], "pub") == 0) {
    publish(m);
  } else {
    must(mosquitto_subscribe(m, NULL, "bench/one", 0));
    mosquitto_loop_forever(m, -1, 1);
    if (received < count) fail("mosquitto: connection lost");
  }
  mosquitto_destroy(m);
  mosquitto_lib_cleanup();
  return 0;
}
