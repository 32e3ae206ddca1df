/* sys_sysv_sem.c - System V semaphore sets; semget(2), semop(2), semctl(2).  semtimedop and the limits in
** /proc are Linux's.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <time.h>

_Static_assert(sizeof(struct lipcsys_semop) == sizeof(struct sembuf), "laid out as sembuf");
_Static_assert(offsetof(struct lipcsys_semop, by) == offsetof(struct sembuf, sem_op), "sem_op");
_Static_assert(offsetof(struct lipcsys_semop, flags) == offsetof(struct sembuf, sem_flg),
               "sem_flg");

union arg { /* the program has to define it: semctl(2) */
  int val;
  struct semid_ds *buf;
  unsigned short *array;
};

/* Of an id that was valid once, EINVAL says that the set is gone. */
static int removed (int err) { return err == EINVAL ? -EIDRM : -err; }

static struct sembuf *native (const struct lipcsys_semop *ops) { return (struct sembuf *)ops; }

int16_t lipcsys_semflags (bool undo, bool nowait) {
  return (int16_t)((undo ? SEM_UNDO : 0) | (nowait ? IPC_NOWAIT : 0));
}

int lipcsys_semget (int32_t key, size_t n, int flags) {
  if (n > INT32_MAX) return -EINVAL;
  int id = semget(key, (int)n, flags);
  return id < 0 ? -errno : id;
}

int lipcsys_semop (int id, const struct lipcsys_semop *ops, size_t n) {
  return semop(id, native(ops), n) < 0 ? removed(errno) : 0;
}

#ifdef __linux__
/* The kernel says EAGAIN for both: the time tells which. */
int lipcsys_semtimedop (int id, const struct lipcsys_semop *ops, size_t n, double seconds) {
  if (seconds > 1e9) seconds = 1e9;
  double start = lipcsys_now();
  struct timespec ts = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  if (semtimedop(id, native(ops), n, &ts) == 0) return 0;
  int err = errno;
  if (err == EAGAIN && lipcsys_now() - start >= seconds) return -ETIMEDOUT;
  return removed(err);
}
#else
struct call {
  int id;
  const struct lipcsys_semop *ops;
  size_t n;
};

static int bounded_call (void *arg, bool wait) {
  const struct call *c = arg;
  (void)wait; /* how much it waits is in its flags */
  return lipcsys_semop(c->id, c->ops, c->n);
}

int lipcsys_semtimedop (int id, const struct lipcsys_semop *ops, size_t n, double seconds) {
  struct call c = {id, ops, n};
  return lipcsys_bounded(seconds, bounded_call, &c);
}
#endif

/* ---- the set ---- */

static int get (int id, struct semid_ds *ds) {
  union arg a = {.buf = ds};
  return semctl(id, 0, IPC_STAT, a) < 0 ? removed(errno) : 0;
}

int lipcsys_semstat (int id, struct lipcsys_semstat *ret_stat) {
  struct semid_ds ds;
  int r = get(id, &ds);
  if (r < 0) return r;
  memset(ret_stat, 0, sizeof *ret_stat);
#ifdef __linux__
  ret_stat->perm.key = ds.sem_perm.__key;
#endif
  ret_stat->perm.uid = ds.sem_perm.uid;
  ret_stat->perm.gid = ds.sem_perm.gid;
  ret_stat->perm.cuid = ds.sem_perm.cuid;
  ret_stat->perm.cgid = ds.sem_perm.cgid;
  ret_stat->perm.mode = ds.sem_perm.mode & 0777;
  ret_stat->nsems = ds.sem_nsems;
  ret_stat->otime = ds.sem_otime;
  ret_stat->ctime = ds.sem_ctime;
  return 0;
}

int lipcsys_semset (int id, const struct lipcsys_sysvperm *perm) {
  struct semid_ds ds;
  union arg a = {.buf = &ds};
  int r = get(id, &ds);
  if (r < 0) return r;
  ds.sem_perm.uid = perm->uid;
  ds.sem_perm.gid = perm->gid;
  ds.sem_perm.mode = (unsigned short)perm->mode;
  return semctl(id, 0, IPC_SET, a) < 0 ? removed(errno) : 0;
}

int lipcsys_semrm (int id) { return semctl(id, 0, IPC_RMID) < 0 ? removed(errno) : 0; }

/* ---- its values ---- */

int lipcsys_semget1 (int id, unsigned num, enum lipcsys_semget what, int *ret_value) {
  static const int commands[] = {GETVAL, GETNCNT, GETZCNT, GETPID};
  int n = semctl(id, (int)num, commands[what]);
  if (n < 0) return removed(errno);
  *ret_value = n;
  return 0;
}

int lipcsys_semset1 (int id, unsigned num, int value) {
  union arg a = {.val = value};
  return semctl(id, (int)num, SETVAL, a) < 0 ? removed(errno) : 0;
}

int lipcsys_semgetall (int id, uint16_t *values) {
  union arg a = {.array = values};
  return semctl(id, 0, GETALL, a) < 0 ? removed(errno) : 0;
}

int lipcsys_semsetall (int id, const uint16_t *values) {
  union arg a = {.array = (unsigned short *)values};
  return semctl(id, 0, SETALL, a) < 0 ? removed(errno) : 0;
}

bool lipcsys_semlimits (long ret_limits[4]) {
  char text[128];
  long v[4];
  lipcsys_limit("kernel/sem", text, sizeof text);
  if (sscanf(text, "%ld %ld %ld %ld", &v[0], &v[1], &v[2], &v[3]) != 4) return false;
  memcpy(ret_limits, v, sizeof v);
  return true;
}
