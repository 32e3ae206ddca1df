/* sys_semaphore.c - POSIX semaphores; sem_overview(7).  POSIX; a wait by the monotonic clock is
** glibc's (2.30), elsewhere the clock of the day is read anew for each short wait.
** fork: both processes have it open.  close: the mapping; neither the name nor what was taken.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#ifndef SEM_VALUE_MAX
#define SEM_VALUE_MAX 32767 /* what POSIX promises */
#endif

static sem_t *native (struct lipcsys_sem *sem) { return (sem_t *)sem; }

unsigned lipcsys_semmax (void) { return SEM_VALUE_MAX; }

/* ---- the file behind it ---- */

#ifdef __linux__
#define SEM_DIR "/dev/shm"

/* Mapping what is shorter than a semaphore would end in SIGBUS, and sem_open does not look.  0 also
** when there is nothing of that name. */
static int look (const char *name, struct lipcsys_fileid *ret_id) {
  char path[sizeof SEM_DIR "/sem." + LIPC_SEM_NAMEMAX + 1];
  struct stat st;
  *ret_id = (struct lipcsys_fileid){0, 0};
  if (snprintf(path, sizeof path, SEM_DIR "/sem.%s", name + 1) >= (int)sizeof path) return -EINVAL;
  if (lstat(path, &st) < 0) return 0;
  if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(sem_t)) return -EINVAL;
  *ret_id = (struct lipcsys_fileid){st.st_dev, st.st_ino};
  return 0;
}
#else
#define SEM_DIR "/"

static int look (const char *name, struct lipcsys_fileid *ret_id) {
  (void)name;
  *ret_id = (struct lipcsys_fileid){0, 0};
  return 0;
}
#endif

static bool is_same (const struct lipcsys_fileid *a, const struct lipcsys_fileid *b) {
  return a->dev == b->dev && a->ino == b->ino;
}

/* ---- opening ---- */

/* One that is there: the same before and after, so that it is the one that was looked at. */
static int open_there (const char *name, sem_t **ret_sem, struct lipcsys_fileid *ret_id) {
  struct lipcsys_fileid after;
  for (int tries = 0; tries < 100; tries++) {
    int r = look(name, ret_id);
    if (r < 0) return r;
    sem_t *s = sem_open(name, 0);
    if (s == SEM_FAILED) return -errno;
    r = look(name, &after);
    if (r == 0 && is_same(ret_id, &after)) {
      *ret_sem = s;
      return 0;
    }
    sem_close(s);
    if (r < 0) return r;
  }
  return -EBUSY;
}

int lipcsys_semopen (const struct lipcsys_semopen *o, struct lipcsys_sem **ret_sem, bool *ret_made,
                     struct lipcsys_fileid *ret_id) {
  for (int tries = 0; tries < 100; tries++) {
    struct lipcsys_fileid id;
    sem_t *s = SEM_FAILED;
    bool made = false;
    int r = o->exclusive ? -ENOENT : open_there(o->name, &s, &id);
    if (r == -ENOENT && o->create) {
      made = true;
      s = sem_open(o->name, O_CREAT | O_EXCL, (mode_t)o->mode, o->initial);
      r = s == SEM_FAILED ? -errno : 0;
      if (r == -EEXIST && !o->exclusive) continue;
      if (r == 0 && look(o->name, &id) < 0) id = (struct lipcsys_fileid){0, 0};
    }
    if (r < 0) return r;
    *ret_sem = (struct lipcsys_sem *)s;
    *ret_made = made;
    *ret_id = id;
    return 0;
  }
  return -EBUSY; /* somebody does nothing but make and remove it */
}

int lipcsys_semclose (struct lipcsys_sem *sem) { return sem_close(native(sem)) < 0 ? -errno : 0; }

/* The C library maps it at the beginning of a page, and in each process once, however often it is opened. */
int lipcsys_semguard (struct lipcsys_sem *sem, struct lipcsys_guard **ret_guard,
                      const _Atomic bool **ret_lost) {
  uintptr_t page = (uintptr_t)sem - (uintptr_t)sem % lipcsys_pagesize();
  return lipcsys_guard((void *)page, lipcsys_pagesize(), false, ret_guard, ret_lost);
}

int lipcsys_semunlink (const char *name, const struct lipcsys_fileid *only) {
  struct lipcsys_fileid id;
  if (only != NULL && (look(name, &id) < 0 || !is_same(&id, only))) return 0;
  return sem_unlink(name) < 0 ? -errno : 0;
}

const char *lipcsys_semnote (int err, char *buf, size_t size) {
  struct statvfs fs;
  char limit[64];
  switch (err) {
    case -ENOSPC:
      if (statvfs(SEM_DIR, &fs) < 0) return NULL;
      snprintf(buf, size, SEM_DIR " has %llu KiB and is full: mount -o remount,size=...",
               (unsigned long long)fs.f_blocks * fs.f_frsize / 1024);
      return buf;
    case -ENOMEM:
      snprintf(buf, size, "no memory, or vm.max_map_count mappings: %s, see sysctl",
               lipcsys_limit("vm/max_map_count", limit, sizeof limit));
      return buf;
    case -ENOSYS: return "is " SEM_DIR " mounted?";
    case -EINVAL: return "what has that name is no semaphore";
    default: return NULL;
  }
}

/* ---- one without a name ---- */

_Static_assert(sizeof(sem_t) <= LIPC_SEM_SIZE, "no room for a semaphore");

size_t lipcsys_semsize (void) { return sizeof(sem_t); }

int lipcsys_seminit (void *memory, unsigned value) {
  return sem_init(memory, 1, value) < 0 ? -errno : 0;
}

/* ---- using it ---- */

int lipcsys_semtry (struct lipcsys_sem *sem) {
  while (sem_trywait(native(sem)) < 0)
    if (errno != EINTR) return -errno;
  return 0;
}

static int until (clockid_t clock, double seconds, struct timespec *ret_end) {
  if (clock_gettime(clock, ret_end) < 0) return -errno;
  if (seconds > 1e9) seconds = 1e9;
  long ns = ret_end->tv_nsec + (long)((seconds - (double)(time_t)seconds) * 1e9);
  ret_end->tv_sec += (time_t)seconds + ns / 1000000000;
  ret_end->tv_nsec = ns % 1000000000;
  return 0;
}

#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 30)
#define HAVE_CLOCKWAIT
#endif
#endif

#ifdef HAVE_CLOCKWAIT
int lipcsys_semwait (struct lipcsys_sem *sem, double seconds) {
  struct timespec end;
  int r = until(CLOCK_MONOTONIC, seconds, &end);
  if (r == 0 && sem_clockwait(native(sem), CLOCK_MONOTONIC, &end) < 0) r = -errno;
  return r;
}
#else
/* A clock that is set back makes this late by one such wait. */
#define SHORT 0.1

int lipcsys_semwait (struct lipcsys_sem *sem, double seconds) {
  struct timespec end;
  double over = lipcsys_now() + seconds;
  for (;;) {
    double left = over - lipcsys_now();
    int r = until(CLOCK_REALTIME, left < 0 ? 0 : left < SHORT ? left : SHORT, &end);
    if (r < 0) return r;
    if (sem_timedwait(native(sem), &end) == 0) return 0;
    if (errno != ETIMEDOUT || left <= 0) return -errno;
  }
}
#endif

int lipcsys_sempost (struct lipcsys_sem *sem) { return sem_post(native(sem)) < 0 ? -errno : 0; }

int lipcsys_semvalue (struct lipcsys_sem *sem) {
  int n = 0;
  sem_getvalue(native(sem), &n);
  return n;
}
