/* sys_sysv.c - System V objects: what message queues, shared memory and semaphore sets share;
** sysvipc(7), ftok(3).  The list of all objects is Linux's.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <unistd.h>

int lipcsys_ftok (const char *path, int proj, int32_t *ret_key) {
  errno = 0;
  key_t key = ftok(path, proj);
  if (key == (key_t)-1 && errno != 0) return -errno;
  *ret_key = key;
  return 0;
}

int lipcsys_sysv_open (const struct lipcsys_sysvopen *o, lipcsys_sysvget *get, int *ret_id,
                       bool *ret_made) {
  int make = (int)o->mode | o->flags | IPC_CREAT | IPC_EXCL;
  for (int tries = 0; tries < 100; tries++) {
    bool made = o->create || o->key == IPC_PRIVATE;
    int r = made ? get(o->key, o->n, make) : -EEXIST;
    if (r == -EEXIST && !o->exclusive) {
      made = false;
      r = get(o->key, o->n, o->flags);
    }
    if (r == -ENOENT && o->create && !o->exclusive) continue; /* removed in between */
    if (r < 0) return r;
    *ret_id = r;
    *ret_made = made;
    return 0;
  }
  return -EBUSY; /* somebody does nothing but make and remove it */
}

int lipcsys_sysv_table (const char *kind, char *buf, size_t size, size_t *ret_n) {
  char path[32];
  snprintf(path, sizeof path, "/proc/sysvipc/%s", kind);
  return lipcsys_slurp(path, buf, size, ret_n);
}

const char *lipcsys_username (uint32_t uid, char *buf, size_t size) {
  struct passwd pw, *found = NULL;
  if (getpwuid_r(uid, &pw, buf, size, &found) != 0 || found == NULL) return NULL;
  return found->pw_name;
}
