/* sysvtwin.c - the other side of System V queues and segments, in plain C:
**   sysvtwin ftok path id              prints the key
**   sysvtwin send key type data        waits while the queue is full
**   sysvtwin mistake key type data     counts the type in the message's size, as beginners do
**   sysvtwin receive key type max      prints type, size and data
**   sysvtwin put key offset data       into the segment
**   sysvtwin get key offset n          prints the bytes, and the segment's size
** SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/shm.h>

static struct {
  long type;
  char data[65536];
} m;

static int failed (const char *what) {
  perror(what);
  return 1;
}

int main (int argc, char **argv) {
  if (argc < 4) return 2;
  const char *verb = argv[1];
  if (strcmp(verb, "ftok") == 0) {
    printf("%d\n", (int)ftok(argv[2], atoi(argv[3])));
    return 0;
  }
  if (argc < 5) return 2;
  key_t key = (key_t)strtoul(argv[2], NULL, 0);
  if (strcmp(verb, "send") == 0 || strcmp(verb, "mistake") == 0) {
    size_t size = strlen(argv[4]) + (verb[0] == 'm' ? sizeof m.type : 0);
    m.type = atol(argv[3]);
    strncpy(m.data, argv[4], sizeof m.data - 1);
    return msgsnd(msgget(key, 0), &m, size, 0) < 0 ? failed("msgsnd") : 0;
  }
  if (strcmp(verb, "receive") == 0) {
    ssize_t n = msgrcv(msgget(key, 0), &m, (size_t)atol(argv[4]), atol(argv[3]), 0);
    if (n < 0) return failed("msgrcv");
    printf("%ld %zd %.*s\n", m.type, n, (int)n, m.data);
    return 0;
  }
  int id = shmget(key, 0, 0);
  char *p = shmat(id, NULL, 0);
  struct shmid_ds ds;
  if (p == (char *)-1) return failed("shmat");
  if (shmctl(id, IPC_STAT, &ds) < 0) return failed("shmctl");
  if (strcmp(verb, "put") == 0) memcpy(p + atol(argv[3]), argv[4], strlen(argv[4]));
  else printf("%.*s %zu\n", atoi(argv[4]), p + atol(argv[3]), ds.shm_segsz);
  return 0;
}
