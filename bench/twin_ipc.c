/* twin_ipc.c - the C side of the benches of message queues, semaphores and locks, and the launcher that
** gives two programs a pair of queues, each program on a processor of its own.
**
**   twin_ipc pair mqueue|sysv COMMAND -- COMMAND    QUEUE_A and QUEUE_B in the environment name the queues
**   twin_ipc send|recv|ping|pong mqueue|sysv COUNT SIZE
**   twin_ipc sem|semop|semundo|flock|range COUNT    prints nanoseconds for each pair of operations
**
** The calls block, as a program in C would have them.  The messages are those of bench/peer_ipc.lua and
** the receiver checks content and order.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die (const char *what) {
  fprintf(stderr, "twin_ipc: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* ---- queues ---- */

#define VARIETY 256 /* different messages, each begun by its number */
#define MAXSIZE 8192

struct message {
  long type;
  char text[MAXSIZE];
};

static struct message all[VARIETY];

struct queue {
  int sysv; /* the id, or -1 */
  mqd_t mq;
};

static struct queue open_queue (const char *kind, const char *variable) {
  const char *name = getenv(variable);
  struct queue q = {-1, (mqd_t)-1};
  if (name == NULL) die(variable);
  if (strcmp(kind, "sysv") == 0) q.sysv = atoi(name);
  else if ((q.mq = mq_open(name, O_RDWR)) == (mqd_t)-1) die("mq_open");
  return q;
}

static void put (struct queue q, const struct message *m, size_t size) {
  int r = q.sysv >= 0 ? msgsnd(q.sysv, m, size, 0) : mq_send(q.mq, m->text, size, 0);
  if (r < 0) die("send");
}

static void get (struct queue q, struct message *m, size_t size) {
  ssize_t n = q.sysv >= 0 ? msgrcv(q.sysv, m, MAXSIZE, 0, 0)
                          : mq_receive(q.mq, m->text, MAXSIZE, NULL);
  if (n != (ssize_t)size) die("receive");
}

static void check (const struct message *m, long i, size_t size) {
  if (memcmp(m->text, all[i % VARIETY].text, size) != 0) {
    fprintf(stderr, "twin_ipc: message %ld is not the one expected\n", i);
    exit(1);
  }
}

static void queues (const char *what, const char *kind, long count, size_t size) {
  static struct message m;
  struct queue a = open_queue(kind, "QUEUE_A"), b = open_queue(kind, "QUEUE_B");
  double t = now();
  for (int i = 0; i < VARIETY; i++) {
    char head[8];
    snprintf(head, sizeof head, "%03d ", i);
    memset(all[i].text, 'x', size);
    memcpy(all[i].text, head, 4);
    all[i].type = 1;
  }
  if (strcmp(what, "send") == 0) {
    for (long i = 0; i < count; i++) put(a, &all[i % VARIETY], size);
  } else if (strcmp(what, "recv") == 0) {
    for (long i = 0; i < count; i++) {
      get(a, &m, size);
      if (i == 0) t = now();
      check(&m, i, size);
    }
    printf("%.0f\n", (double)(count - 1) / (now() - t));
  } else if (strcmp(what, "ping") == 0) {
    for (long i = 0; i < count; i++) {
      put(a, &all[i % VARIETY], size);
      get(b, &m, size);
      check(&m, i, size);
    }
    printf("%.3f\n", (now() - t) / (double)count * 1e6);
  } else {
    for (long i = 0; i < count; i++) {
      get(a, &m, size);
      put(b, &m, size);
    }
  }
}

static pid_t launch (char **argv, int from, int to, int cpu) {
  pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid > 0) return pid;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
  argv[to] = NULL;
  execvp(argv[from], argv + from);
  die(argv[from]);
  return -1;
}

static int pair (int argc, char **argv) {
  static const char *const variables[] = {"QUEUE_A", "QUEUE_B"};
  int mid = 3, status, bad = 0, sysv = strcmp(argv[2], "sysv") == 0;
  char names[2][64];
  while (mid < argc && strcmp(argv[mid], "--") != 0) mid++;
  if (mid == argc) return 2;
  for (int i = 0; i < 2; i++) {
    int id = sysv ? msgget(IPC_PRIVATE, 0600) : 0;
    struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = MAXSIZE};
    if (id < 0) die("msgget");
    if (sysv) snprintf(names[i], sizeof names[i], "%d", id);
    else snprintf(names[i], sizeof names[i], "/lipc-%d-bench-%d", (int)getpid(), i);
    if (!sysv && mq_open(names[i], O_RDWR | O_CREAT | O_EXCL, 0600, &attr) == (mqd_t)-1)
      die("mq_open");
    setenv(variables[i], names[i], 1);
  }
  launch(argv, 3, mid, 0);
  launch(argv, mid + 1, argc, 1);
  for (int i = 0; i < 2; i++) {
    pid_t pid = wait(&status);
    bad |= status;
    if (status != 0 && pid > 0 && i == 0) /* the other one would wait for ever */
      for (int k = 0; sysv && k < 2; k++) msgctl(atoi(names[k]), IPC_RMID, NULL);
  }
  for (int i = 0; i < 2; i++)
    if (sysv) msgctl(atoi(names[i]), IPC_RMID, NULL);
    else mq_unlink(names[i]);
  return bad != 0;
}

/* ---- semaphores and locks ---- */

static double semaphores (long count) {
  char name[64];
  snprintf(name, sizeof name, "/lipc-%d-bench", (int)getpid());
  sem_t *s = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
  if (s == SEM_FAILED) die("sem_open");
  sem_unlink(name);
  double t = now();
  for (long i = 0; i < count; i++)
    if (sem_post(s) < 0 || sem_wait(s) < 0) die("sem");
  return now() - t;
}

static double sets (long count, short flags) {
  int id = semget(IPC_PRIVATE, 1, 0600);
  struct sembuf up = {0, 1, flags}, down = {0, -1, flags};
  if (id < 0) die("semget");
  double t = now();
  for (long i = 0; i < count; i++)
    if (semop(id, &up, 1) < 0 || semop(id, &down, 1) < 0) die("semop");
  t = now() - t;
  semctl(id, 0, IPC_RMID);
  return t;
}

static int open_file (void) {
  char path[] = "/tmp/lipc-bench-XXXXXX";
  int fd = mkostemp(path, O_CLOEXEC);
  if (fd < 0) die("mkostemp");
  unlink(path);
  return fd;
}

static double files (long count) {
  int fd = open_file();
  double t = now();
  for (long i = 0; i < count; i++)
    if (flock(fd, LOCK_EX) < 0 || flock(fd, LOCK_UN) < 0) die("flock");
  return now() - t;
}

static double ranges (long count) {
  int fd = open_file();
  struct flock take = {.l_type = F_WRLCK, .l_start = 100, .l_len = 10}, give = take;
  give.l_type = F_UNLCK;
  double t = now();
  for (long i = 0; i < count; i++)
    if (fcntl(fd, F_OFD_SETLKW, &take) < 0 || fcntl(fd, F_OFD_SETLK, &give) < 0) die("fcntl");
  return now() - t;
}

int main (int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (argc > 3 && strcmp(what, "pair") == 0) return pair(argc, argv);
  if (argc == 5) {
    queues(what, argv[2], atol(argv[3]), (size_t)atol(argv[4]));
    return 0;
  }
  if (argc != 3) return 2;
  long count = atol(argv[2]);
  double t;
  if (strcmp(what, "sem") == 0) t = semaphores(count);
  else if (strcmp(what, "semop") == 0) t = sets(count, 0);
  else if (strcmp(what, "semundo") == 0) t = sets(count, SEM_UNDO);
  else if (strcmp(what, "flock") == 0) t = files(count);
  else if (strcmp(what, "range") == 0) t = ranges(count);
  else return 2;
  printf("%.1f\n", t / (double)count * 1e9);
  return 0;
}
