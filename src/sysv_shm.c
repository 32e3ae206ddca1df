/* sysv_shm.c - System V shared memory; shmget(2), shmop(2), shmctl(2).  SHM_HUGETLB is Linux's.
** fork: the child has the attachment too, as one more.  close: detaches; the segment stays until it is
** removed, and until the last has detached.
** SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kit_map.h"
#include "sysv.h"

typedef struct Segment {
  Sysv s;
  struct lipc_map map; /* of the size that the kernel told when it was attached */
} Segment;

/* ---- attached memory ---- */

static struct lipc_map *segment_map (struct lipc_handle *h) { return &((Segment *)h)->map; }

/* s:attach([{readonly=}]) -> true | nil, msg, code: maps it.  Once at a time   -- see shmat(2) */
static int l_segment_attach (lua_State *L) {
  static const char *const names[] = {"readonly", NULL};
  Segment *s = lipc_checkopen(L, 1);
  struct lipcsys_shmstat st;
  void *addr;
  lipc_checkopts(L, 2, names);
  lipc_checkopen(L, 1); /* a metamethod may have closed it */
  bool readonly = lipc_optbool(L, 2, "readonly", false);
  luaL_argcheck(L, s->map.base == NULL, 1, "segment is attached already");
  int r = lipcsys_shmat(s->s.id, readonly, &addr);
  if (r < 0) return lipc_failself(L, "attach", r);
  r = lipcsys_shmstat(s->s.id, &st);
  if (r < 0) {
    lipcsys_shmdt(addr);
    return lipc_failself(L, "attach", r);
  }
  s->map = (struct lipc_map){.base = addr,
                             .size = (size_t)st.size,
                             .readonly = readonly,
                             .lost = &lipc_map_neverlost,
                             .unmap = lipcsys_shmdt};
  lua_pushboolean(L, 1);
  return 1;
}

/* s:detach() -> true | nil, msg, code: it can be attached again, unless it was removed
** -- see shmdt(2) */
static int l_segment_detach (lua_State *L) {
  Segment *s = lipc_checkopen(L, 1);
  lipc_checkmap(L, 1);
  return lipc_result(L, "detach", lipc_map_close(&s->map));
}

/* ---- the segment itself ---- */

static int size_of (const Segment *s, lua_Integer *ret_size) {
  struct lipcsys_shmstat st = {.size = s->map.size};
  int r = s->map.base != NULL ? 0 : lipcsys_shmstat(s->s.id, &st);
  if (r == 0) *ret_size = (lua_Integer)st.size;
  return r;
}

/* s:size() -> bytes | nil, msg, code: as the kernel says, attached or not */
static int l_segment_size (lua_State *L) {
  const Segment *s = lipc_checkopen(L, 1);
  lua_Integer size = 0;
  int r = size_of(s, &size);
  if (r < 0) return lipc_failself(L, "size", r);
  lua_pushinteger(L, size);
  return 1;
}

/* #s: s:size(), and an error where that fails */
static int l_segment_len (lua_State *L) {
  const Segment *s = lipc_checkopen(L, 1);
  lua_Integer size = 0;
  int r = size_of(s, &size);
  if (r < 0) {
    lipc_failself(L, "size", r);
    lua_pop(L, 1);
    return lua_error(L);
  }
  lua_pushinteger(L, size);
  return 1;
}

static void set_bool (lua_State *L, const char *name, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, name);
}

/* s:stat() -> {type="sysv shared memory", key=, id=, uid=, gid=, cuid=, cgid=, mode=, size=, nattch=, cpid=,
** lpid=, atime=, dtime=, ctime=, dest=, locked=} | nil, msg, code   -- see shmctl(2) IPC_STAT */
static int l_segment_stat (lua_State *L) {
  const Segment *s = lipc_checkopen(L, 1);
  struct lipcsys_shmstat st;
  int r = lipcsys_shmstat(s->s.id, &st);
  if (r < 0) return lipc_failself(L, "stat", r);
  lua_createtable(L, 0, 17);
  lipc_sysv_pushperm(L, "sysv shared memory", &st.perm, s->s.id);
  lipc_setinteger(L, "size", (lua_Integer)st.size);
  lipc_setinteger(L, "nattch", (lua_Integer)st.nattch);
  lipc_setinteger(L, "cpid", st.cpid);
  lipc_setinteger(L, "lpid", st.lpid);
  lipc_setinteger(L, "atime", st.atime);
  lipc_setinteger(L, "dtime", st.dtime);
  lipc_setinteger(L, "ctime", st.ctime);
  set_bool(L, "dest", st.dest);
  set_bool(L, "locked", st.locked);
  return 1;
}

/* s:set{uid=, gid=, mode=} -> true | nil, msg, code: what is not given stays.  "EPERM": not the owner's
** -- see shmctl(2) IPC_SET */
static int l_segment_set (lua_State *L) {
  static const char *const names[] = {LIPC_SYSV_SETTABLE, NULL};
  const Segment *s = lipc_checkopen(L, 1);
  struct lipcsys_shmstat st;
  luaL_checktype(L, 2, LUA_TTABLE);
  lipc_checkopts(L, 2, names);
  lipc_checkopen(L, 1); /* a metamethod may have closed it */
  memset(&st, 0, sizeof st);
  lipc_sysv_checkset(L, &st.perm); /* misuse is told before the kernel is asked */
  int r = lipcsys_shmstat(s->s.id, &st);
  if (r < 0) return lipc_failself(L, "set", r);
  lipc_sysv_checkset(L, &st.perm);
  return lipc_result(L, "set", lipcsys_shmset(s->s.id, &st.perm));
}

/* s:remove() -> true | nil, msg, code: its key is free at once, the memory when the last has detached; this
** object stays attached, and is detached by detach or close   -- see shmctl(2) IPC_RMID */
static int l_segment_remove (lua_State *L) {
  Segment *s = lipc_checkopen(L, 1);
  int r = lipcsys_shmrm(s->s.id);
  if (r == 0) s->s.unlink = false;
  return lipc_result(L, "remove", r);
}

static int segment_release (lua_State *L, struct lipc_handle *h, int fd) {
  Segment *s = (Segment *)h;
  (void)L;
  if (lipc_sysv_mustremove(&s->s, fd)) (void)lipcsys_shmrm(s->s.id); /* it may be gone */
  return lipc_map_close(&s->map);
}

static const luaL_Reg methods[] = {
  {"attach", l_segment_attach}, {"detach", l_segment_detach},
  {"size", l_segment_size},     {"stat", l_segment_stat},
  {"set", l_segment_set},       {"remove", l_segment_remove},
  {"__len", l_segment_len},     {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, lipc_sysv_methods, lipc_map_methods, NULL};
static const struct lipc_class segment_class = {.tname = "lipc.sysv.shm",
                                                .label = "sysv.shm",
                                                .size = sizeof(Segment),
                                                .methods = all_methods,
                                                .release = segment_release,
                                                .map = segment_map};

/* ---- opening ---- */

/* What a refusal of shmget is about: the note for it, or NULL. */
static const char *refused (const struct lipcsys_sysvopen *o, int err, char *note, size_t size) {
  char a[128], b[128];
  struct lipcsys_shmstat st;
  int id;
  switch (err) {
    case -EINVAL:
      id = lipcsys_shmget(o->key, 0, 0);
      if (o->key != LIPC_IPC_PRIVATE && id >= 0 && lipcsys_shmstat(id, &st) == 0) {
        snprintf(a, sizeof a, "%llu", (unsigned long long)st.size);
        snprintf(b, sizeof b, "%zu", o->n);
        lipc_noteother(note, size, "size", a, b);
      } else
        snprintf(note, size, "size is %zu, kernel.shmmax is %s: sysctl -w kernel.shmmax=...", o->n,
                 lipcsys_limit("kernel/shmmax", a, sizeof a));
      return note;
    case -ENOSPC:
      snprintf(
        note, size, "kernel.shmmni is %s segments, kernel.shmall is %s pages: ipcs -m, sysctl -w",
        lipcsys_limit("kernel/shmmni", a, sizeof a), lipcsys_limit("kernel/shmall", b, sizeof b));
      return note;
    case -ENOMEM:
      if (o->flags == 0) return NULL;
      snprintf(note, size, "vm.nr_hugepages is %s: sysctl -w vm.nr_hugepages=...",
               lipcsys_limit("vm/nr_hugepages", a, sizeof a));
      return note;
    case -EPERM:
      if (o->flags == 0) return NULL;
      snprintf(note, size,
               "huge pages need CAP_IPC_LOCK, or the group vm.hugetlb_shm_group, which is %s",
               lipcsys_limit("vm/hugetlb_shm_group", a, sizeof a));
      return note;
    default: return NULL;
  }
}

/* open(key[, {size=, create=, exclusive=, mode=, hugetlb=, unlink=}]) -> segment | nil, msg, code: key is an
** integer or "private", which makes one that has no key.  create: makes it, with size bytes, all zero, and
** mode (0600, whatever the umask), if it is not there; exclusive: "EEXIST" if it is; hugetlb: of pages
** from the pool of huge ones, size rounded up by the kernel; unlink: what this call has made is removed
** on close.  Of one that is there size is the least that it must have ("EINVAL")   -- see shmget(2) */
static int l_shm_open (lua_State *L) {
  static const char *const names[] = {LIPC_SYSV_OPTIONS, "size", "hugetlb", NULL};
  struct lipcsys_sysvopen o;
  char name[16], note[320];
  int id;
  bool made;
  lipc_checkopts(L, 2, names);
  bool unlink = lipc_sysv_options(L, &o);
  o.n = (size_t)lipc_optint(L, 2, "size", 1, PTRDIFF_MAX, 0);
  luaL_argcheck(L, o.n > 0 || !o.create, 2, "option 'size' is needed to create");
  if (lipc_optbool(L, 2, "hugetlb", false)) {
    o.flags = lipcsys_shmhuge();
    if (o.flags == 0) return lipc_fail(L, "sysv.shm.open", lipc_sysv_keyname(o.key, name), -ENOSYS);
  }
  Segment *s = lipc_new(L, &segment_class);
  int r = lipcsys_sysv_open(&o, lipcsys_shmget, &id, &made);
  if (r < 0)
    return lipc_failnote(L, "sysv.shm.open", lipc_sysv_keyname(o.key, name), r,
                         refused(&o, r, note, sizeof note));
  lipc_sysv_opened(L, &s->s, o.key, id, made, unlink);
  return 1;
}

/* fromid(id) -> segment | nil, msg, code: one that somebody else told, or ipcs shows.  "EINVAL": there is
** none; "EACCES": this user must not read it   -- see shmctl(2) */
static int l_shm_fromid (lua_State *L) {
  int id = lipc_sysv_checkid(L, 1);
  struct lipcsys_shmstat st;
  Segment *s = lipc_new(L, &segment_class);
  int r = lipcsys_shmstat(id, &st);
  if (r < 0) return lipc_sysv_noid(L, "sysv.shm.fromid", id, r);
  lipc_sysv_opened(L, &s->s, st.perm.key, id, false, false);
  return 1;
}

static const luaL_Reg funcs[] = {
  {"open", l_shm_open},
  {"fromid", l_shm_fromid},
  {NULL, NULL},
};

int lipc_sysv_shm (lua_State *L) { return lipc_register(L, &segment_class, funcs); }
