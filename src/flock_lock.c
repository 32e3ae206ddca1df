/* flock_lock.c - the methods that files and ranges share: taken, converted, given back, asked about.
** What cannot be polled for is tried once, then waited for inside flock(2) or fcntl(2) F_OFD_SETLKW; under
** a scheduler it is tried again after pauses.
** SPDX-License-Identifier: MIT */
#include "flock.h"

#include <stdio.h>
#include <string.h>

static int fd_of (const Lock *l) { return l->kind == LIPC_LK_FLOCK ? l->h.fd : l->file->h.fd; }

/* The lock of an open file description is a forked child's too, that of a process is not. */
static int holds (const Lock *l) {
  return l->kind == LIPC_LK_POSIX && l->taker != lipcsys_forkgen ? LIPC_LK_NONE : l->held;
}

/* flock(2) converts by giving up the old lock before it looks whether it can have the new one. */
static int set (Lock *l, int fd, int mode, bool wait) {
  struct lipcsys_lock k = {l->kind, mode, l->start, l->length};
  int r = lipcsys_setlock(fd, &k, wait);
  if (r == 0) {
    l->held = mode;
    l->lost = LIPC_LK_NONE;
    l->taker = lipcsys_forkgen;
  } else if (l->kind == LIPC_LK_FLOCK && (r == -EAGAIN || r == -EINTR)) {
    if (l->held != LIPC_LK_NONE) l->lost = l->held;
    l->held = LIPC_LK_NONE;
  }
  return r;
}

void lipc_lock_drop (Lock *l, int fd) {
  if (l->held != LIPC_LK_NONE && l->taker == lipcsys_forkgen && fd >= 0)
    set(l, fd, LIPC_LK_NONE, false);
  l->held = LIPC_LK_NONE;
}

static const char *const modes[] = {"shared", "exclusive", NULL};

int lipc_lock_checkmode (lua_State *L, int arg) {
  const char *s = lua_tostring(L, arg);
  if (s != NULL && strcmp(s, "exclusive") == 0) return LIPC_LK_EXCLUSIVE;
  return luaL_checkoption(L, arg, NULL, modes) + LIPC_LK_SHARED;
}

/* Of arguments that were checked. */
static int mode_of (lua_State *L) {
  return lua_tostring(L, 2)[0] == 'e' ? LIPC_LK_EXCLUSIVE : LIPC_LK_SHARED;
}

const char *lipc_lock_note (int err) {
  switch (-err) {
    case ENOLCK:
      return "the kernel has no memory for one more lock, or the lock service of a network file "
             "system does not answer";
    case EMLINK: return "the file has several names, and a lock file has one";
    case EDEADLK: return "the holder waits, directly or not, for a lock of this process";
    case ELOOP: return "a symbolic link as the last part of the path is not followed";
    case EISDIR: return "a directory can be locked with access = \"r\"";
    default: return NULL;
  }
}

static int failed (lua_State *L, const char *op, int err) {
  char buf[128];
  Lock *l = lua_touserdata(L, 1);
  const char *note = lipc_lock_note(err);
  if (err == -EBADF && l->kind != LIPC_LK_FLOCK && lua_type(L, 2) == LUA_TSTRING)
    note = mode_of(L) == LIPC_LK_EXCLUSIVE
             ? "an exclusive record lock needs a file that is open for writing"
             : "a shared record lock needs a file that is open for reading";
  if (l->lost != LIPC_LK_NONE) {
    snprintf(buf, sizeof buf, "the %s lock is lost: flock(2) gives it up first",
             modes[l->lost - LIPC_LK_SHARED]);
    note = buf;
    l->lost = LIPC_LK_NONE;
  }
  return lipc_failselfnote(L, op, err, note);
}

/* ---- taking ---- */

static int try_once (lua_State *L, const char *op) {
  Lock *l = lua_touserdata(L, 1);
  int r = set(l, fd_of(l), mode_of(L), false);
  if (r == -EAGAIN) return lipc_again(0);
  if (r < 0) return failed(L, op, r);
  lua_pushboolean(L, 1);
  return 1;
}

static int lock_failed (lua_State *L, int t, int err) {
  (void)t;
  return failed(L, "lock", err);
}
static int lock_step (lua_State *L, int t) {
  (void)t;
  return try_once(L, "lock");
}
static const struct lipc_op lock_op = {"lock", lock_step, 0, lock_failed};

/* l:lock("exclusive"|"shared"[, timeout]) -> true | nil, msg, code: takes it, or converts what it holds:
** a whole file's lock is given up before the new one is there (a conversion that fails has lost it),
** a range's stays until then.  "ETIMEDOUT", "EDEADLK" (posix), "EBADF" (a range of a file that is not
** open for that), "ENOLCK"   -- see flock(2), fcntl(2) F_OFD_SETLK */
static int l_lock_lock (lua_State *L) {
  lipc_lock_checkmode(L, 2);
  return lipc_drive(L, &lock_op, 3);
}

static int trylock_failed (lua_State *L, int t, int err) {
  (void)t;
  return failed(L, "trylock", err);
}
static int trylock_step (lua_State *L, int t) {
  (void)t;
  return try_once(L, "trylock");
}
static const struct lipc_op trylock_op = {"trylock", trylock_step, 0, trylock_failed};

/* l:trylock("exclusive"|"shared") -> true | nil, msg, code: as lock with timeout 0
** -- see flock(2) LOCK_NB */
static int l_lock_trylock (lua_State *L) {
  lipc_lock_checkmode(L, 2);
  lua_settop(L, 2);
  lua_pushinteger(L, 0);
  return lipc_drive(L, &trylock_op, 3);
}

static int with_failed (lua_State *L, int t, int err) {
  (void)t;
  return failed(L, "with", err);
}

static int with_step (lua_State *L, int t) {
  Lock *l = lua_touserdata(L, 1);
  if (holds(l) != LIPC_LK_NONE) return luaL_argerror(L, 1, "this object holds its lock already");
  int r = set(l, fd_of(l), mode_of(L), false);
  if (r == -EAGAIN) return lipc_again(0);
  return r < 0 ? failed(L, "with", r) : lipc_held(L, 3, t);
}
static const struct lipc_op with_op = {"with", with_step, 0, with_failed};

static void give_back (lua_State *L, struct lipc_handle *h) {
  Lock *l = (Lock *)h;
  (void)L;
  if (lipc_isopen(h)) lipc_lock_drop(l, fd_of(l));
}

/* l:with("exclusive"|"shared", fn[, timeout]) -> what fn(l) returns | nil, msg, code: locked while fn runs,
** unlocked when it ends, by whatever way; an error goes on to the caller.  Raises when this object
** holds its lock already   -- see flock(2) */
static int l_lock_with (lua_State *L) {
  lipc_checkopen(L, 1);
  lipc_lock_checkmode(L, 2);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  return lipc_with(L, &with_op, 4, give_back);
}

/* ---- waiting in the kernel ---- */

struct attempt {
  Lock *l;
  int mode;
};

static int attempt (void *arg, bool wait) {
  const struct attempt *a = arg;
  return set(a->l, fd_of(a->l), a->mode, wait);
}

/* Signal callbacks and Ctrl-C come through handlers with SA_RESTART, after which the kernel goes on waiting
** for a lock: so the thread looks up this often. */
#define LOOK_UP 0.1

int lipc_lock_wait (lipcsys_call *call, void *arg, double seconds) {
  return lipcsys_bounded(seconds < LOOK_UP ? seconds : LOOK_UP, call, arg);
}

int lipc_lock_block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  struct attempt a = {lua_touserdata(L, 1), mode_of(L)};
  if (op == &with_op && holds(a.l) != LIPC_LK_NONE) return 0; /* a callback's: the step says so */
  int r = lipc_lock_wait(attempt, &a, seconds);
  if (r < 0) return r;
  if (op == &with_op) return lipc_done(lipc_held(L, 3, t));
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- giving back, and asking ---- */

/* l:unlock() -> true | nil, msg, code: also when nothing was locked   -- see flock(2), fcntl(2) */
static int l_lock_unlock (lua_State *L) {
  Lock *l = lipc_checkopen(L, 1);
  int r = set(l, fd_of(l), LIPC_LK_NONE, false);
  if (r < 0) return failed(L, "unlock", r);
  lua_pushboolean(L, 1);
  return 1;
}

/* l:held() -> "exclusive" | "shared" | false: what this object has taken and not given back */
static int l_lock_held (lua_State *L) {
  const Lock *l = lipc_checkopen(L, 1);
  int held = holds(l);
  if (held == LIPC_LK_NONE) lua_pushboolean(L, 0);
  else lua_pushstring(L, modes[held - LIPC_LK_SHARED]);
  return 1;
}

static void push_holder (lua_State *L, const struct lipcsys_holder *who) {
  static const char *const kinds[] = {"flock", "ofd", "posix"};
  lua_createtable(L, 0, 6);
  lua_pushstring(L, kinds[who->kind]);
  lua_setfield(L, -2, "kind");
  lua_pushstring(L, modes[who->mode - LIPC_LK_SHARED]);
  lua_setfield(L, -2, "mode");
  if (who->kind != LIPC_LK_FLOCK) {
    lua_pushinteger(L, who->start);
    lua_setfield(L, -2, "start");
    if (who->length != 0) lua_pushinteger(L, who->length);
    else lua_pushnil(L);
    lua_setfield(L, -2, "length");
  }
  if (who->npids == 0) return;
  lua_createtable(L, who->npids, 0);
  for (int i = 0; i < who->npids; i++) {
    lua_pushinteger(L, who->pids[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_rawgeti(L, -1, 1);
  lua_setfield(L, -3, "pid");
  lua_setfield(L, -2, "pids");
}

/* l:test("exclusive"|"shared") -> true | false, {kind=, mode=, pid=, pids=, start=, length=} | nil, msg, code:
** whether it could be had now, or one of the locks in the way; takes nothing.  pid, pids: nil where it
** cannot be told   -- see fcntl(2) F_OFD_GETLK, proc(5) */
static int l_lock_test (lua_State *L) {
  const Lock *l = lipc_checkopen(L, 1);
  struct lipcsys_lock want = {l->kind, lipc_lock_checkmode(L, 2), l->start, l->length};
  struct lipcsys_holder who;
  int r = lipcsys_testlock(fd_of(l), &want, &who);
  if (r < 0) return failed(L, "test", r);
  lua_pushboolean(L, r == 0);
  if (r == 0) return 1;
  push_holder(L, &who);
  return 2;
}

const luaL_Reg lipc_lock_methods[] = {
  {"lock", l_lock_lock}, {"trylock", l_lock_trylock}, {"unlock", l_lock_unlock},
  {"held", l_lock_held}, {"test", l_lock_test},       {"with", l_lock_with},
  {NULL, NULL},
};
