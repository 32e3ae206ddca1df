/* flock_lockfile.c - lock files: one process at a time, whose pid is in the file.  What counts is the flock(2)
** lock, which the kernel drops with its holder; a file that nobody has locked is stale.
** fork: the child has the lock too, until both have closed; it never removes the file.
** SPDX-License-Identifier: MIT */
#include "flock.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

typedef struct Lockfile {
  struct lipc_handle h;
  char *path; /* absolute */
  size_t pathsize;
  unsigned mode;
  unsigned maker; /* lipcsys_forkgen of the process that locked it */
  bool respect_pid, keep;
  bool locked; /* h.fd has the lock */
  bool mine; /* and it is the file of that name, with our pid in it */
  long stale; /* the pid that a dead holder left; 0: none */
  long other; /* the living one that the file names */
} Lockfile;

/* The name goes before the lock does: who waits for it finds that its file is not the one any more. */
static int lockfile_release (lua_State *L, struct lipc_handle *h, int fd) {
  Lockfile *f = (Lockfile *)h;
  int r = 0;
  if (fd >= 0 && f->mine && f->maker == lipcsys_forkgen)
    r = f->keep ? lipcsys_writepid(fd, false) : lipcsys_unlinklock(fd, f->path);
  lipc_realloc(L, f->path, f->pathsize, 0);
  f->path = NULL;
  if (fd < 0) return r;
  int closed = lipcsys_close(fd);
  return r < 0 ? r : closed;
}

/* lf:stale() -> pid | false: what a holder that ended without closing had left in the file that was taken
** over; false: nothing */
static int l_lockfile_stale (lua_State *L) {
  const Lockfile *f = lipc_checkopen(L, 1);
  if (f->stale > 0) lua_pushinteger(L, f->stale);
  else lua_pushboolean(L, 0);
  return 1;
}

static const luaL_Reg methods[] = {
  {"stale", l_lockfile_stale},
  {NULL, NULL},
};
static const luaL_Reg *const lists[] = {methods, NULL};

/* ---- taking it ---- */

static int flock_it (void *arg, bool wait) {
  Lockfile *f = arg;
  struct lipcsys_lock l = {LIPC_LK_FLOCK, LIPC_LK_EXCLUSIVE, 0, 0};
  int r = lipcsys_setlock(f->h.fd, &l, wait);
  if (r == 0) f->locked = true;
  return r;
}

static void let_go (Lockfile *f) {
  lipcsys_close(f->h.fd);
  f->h.fd = LIPC_NOFD;
  f->locked = false;
}

/* One attempt: 0, -EAGAIN (somebody holds it), -ESTALE (the name has gone to another file). */
static int take (Lockfile *f) {
  int r;
  if (f->h.fd == LIPC_NOFD) {
    int fd;
    if ((r = lipcsys_openlockfile(f->path, f->mode, &fd)) < 0) return r;
    f->h.fd = fd;
  }
  f->other = 0;
  if (!f->locked && (r = flock_it(f, false)) < 0) return r;
  if (!lipcsys_isnamed(f->h.fd, f->path)) {
    let_go(f);
    return -ESTALE;
  }
  if (!lipcsys_islockfile(f->h.fd)) return -EINVAL;
  long pid = lipcsys_readpid(f->h.fd);
  if (f->respect_pid && lipcsys_otherlives(pid)) {
    f->other = pid;
    let_go(f);
    return -EAGAIN;
  }
  f->mine = true;
  f->maker = lipcsys_forkgen;
  f->stale = pid;
  return lipcsys_writepid(f->h.fd, true);
}

/* A pid of those who hold the file's lock now; what it says itself only where /proc does not tell.
** 0: nobody; -1: somebody. */
static int find_holder (int fd, long *ret_pid) {
  struct lipcsys_lock l = {LIPC_LK_FLOCK, LIPC_LK_EXCLUSIVE, 0, 0};
  struct lipcsys_holder who;
  int r = lipcsys_testlock(fd, &l, &who);
  if (r < 0) return r;
  long pid = r == 0 ? 0 : lipcsys_readpid(fd);
  if (r != 0) {
    bool told = who.npids == 0;
    for (int i = 0; i < who.npids; i++) told = told || who.pids[i] == pid;
    if (!told) pid = who.pids[0];
    if (pid == 0) pid = -1;
  }
  *ret_pid = pid;
  return 0;
}

static int lockfile_failed (lua_State *L, int t, int err) {
  Lockfile *f = lua_touserdata(L, 1);
  char buf[128];
  const char *note = lipc_lock_note(err);
  (void)t;
  if (err == -EINVAL) note = "not a regular file, or one with other contents than a number";
  if (err == -EISDIR) note = NULL;
  if (err == -ETIMEDOUT) {
    long pid = f->other;
    if (pid == 0 && f->h.fd >= 0 && find_holder(f->h.fd, &pid) < 0) pid = lipcsys_readpid(f->h.fd);
    if (f->other != 0) snprintf(buf, sizeof buf, "process %ld, which the file names, lives", pid);
    else if (pid > 0) snprintf(buf, sizeof buf, "held by process %ld", pid);
    else snprintf(buf, sizeof buf, "held by another process");
    note = buf;
  }
  lipc_shut(L, &f->h);
  return lipc_failnote(L, "flock.lockfile", lua_tostring(L, 2), err, note);
}

static int lockfile_step (lua_State *L, int t) {
  Lockfile *f = lua_touserdata(L, 1);
  int r = -ESTALE;
  for (int tries = 0; r == -ESTALE && tries < 100; tries++) r = take(f);
  if (r == -EAGAIN || r == -ESTALE) return lipc_again(0); /* -ESTALE: others come and go */
  if (r < 0) return lockfile_failed(L, t, r);
  lua_pushvalue(L, 1);
  return 1;
}
static const struct lipc_op lockfile_op = {"lockfile", lockfile_step, 0, lockfile_failed};

#define LOOK 0.02 /* seconds between looks at whether a process lives */

static int lockfile_block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  Lockfile *f = lua_touserdata(L, 1);
  (void)op;
  (void)t;
  if (f->h.fd >= 0) return f->locked ? 0 : lipc_lock_wait(flock_it, f, seconds);
  return lipc_nap(L, seconds < LOOK ? seconds : LOOK);
}

const struct lipc_class lipc_lockfile_class = {.tname = "lipc.flock.lockfile",
                                               .label = "flock.lockfile",
                                               .size = sizeof(Lockfile),
                                               .methods = lists,
                                               .release = lockfile_release,
                                               .block = lockfile_block};

/* lockfile(path[, {timeout=, mode=, respect_pid=, keep=}]) -> Lockfile | nil, msg, code: makes the file if it is
** missing (mode 0644 less the umask), locks it and writes the pid into it.  "ETIMEDOUT", with the holder
** in the message, if another one holds it for the timeout (0) long.  close removes it; keep: empties it.
** respect_pid: a file that names a living process counts as held though nobody has locked it
** -- see flock(2), open(2), kill(2) */
static int l_flock_lockfile (lua_State *L) {
  static const char *const names[] = {"timeout", "mode", "respect_pid", "keep", NULL};
  char full[PATH_MAX];
  const char *path = lipc_checkpath(L, 1);
  lua_settop(L, 2);
  lipc_checkopts(L, 2, names);
  double timeout = lipc_optseconds(L, 2, "timeout", 0);
  Lockfile *f = lipc_new(L, &lipc_lockfile_class);
  f->mode = lipc_optmode(L, 2, "mode", 0777, 0644);
  f->respect_pid = lipc_optbool(L, 2, "respect_pid", false);
  f->keep = lipc_optbool(L, 2, "keep", false);
  f->h.access = LIPC_IN | LIPC_OUT;
  lipc_setname(L, -1, path);
  int r = lipcsys_abspath(path, full, sizeof full);
  if (r < 0) return lipc_fail(L, "flock.lockfile", path, r);
  size_t size = strlen(full) + 1;
  f->path = lipc_realloc(L, NULL, 0, size);
  f->pathsize = size;
  memcpy(f->path, full, size);
  f->h.fd = LIPC_NOFD;
  lua_insert(L, 1); /* Lockfile, path, options, timeout */
  lua_pushnumber(L, timeout);
  return lipc_drivenew(L, &lockfile_op, 4);
}

/* holder(path[, {respect_pid=}]) -> pid | true | false | nil, msg, code: who holds a lock file now; true: somebody,
** and who cannot be told; false: nobody, or there is no such file.  respect_pid: also a living process
** that the file names   -- see proc(5), kill(2) */
static int l_flock_holder (lua_State *L) {
  static const char *const names[] = {"respect_pid", NULL};
  const char *path = lipc_checkpath(L, 1);
  lua_settop(L, 2);
  lipc_checkopts(L, 2, names);
  bool respect_pid = lipc_optbool(L, 2, "respect_pid", false);
  int fd;
  long pid = 0;
  int r = lipcsys_openlock(path, LIPC_IN, false, false, 0, &fd);
  if (r == 0) {
    r = find_holder(fd, &pid);
    if (r == 0 && pid == 0 && respect_pid && lipcsys_otherlives(lipcsys_readpid(fd)))
      pid = lipcsys_readpid(fd);
    lipcsys_close(fd);
  }
  if (r < 0 && r != -ENOENT) return lipc_failnote(L, "flock.holder", path, r, lipc_lock_note(r));
  if (pid > 0) lua_pushinteger(L, pid);
  else lua_pushboolean(L, pid < 0);
  return 1;
}

const luaL_Reg lipc_lockfile_funcs[] = {
  {"lockfile", l_flock_lockfile},
  {"holder", l_flock_holder},
  {NULL, NULL},
};
