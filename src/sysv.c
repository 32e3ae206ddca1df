/* sysv.c - System V IPC: keys, the list of what there is, and what its kinds share; sysvipc(7), ftok(3).
** The kinds are in sysv_msg.c, sysv_shm.c and sysv_sem.c.  The list is Linux's.
** SPDX-License-Identifier: MIT */
#include "sysv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */

int32_t lipc_sysv_key (lua_State *L, int arg) {
  if (lua_type(L, arg) == LUA_TSTRING && strcmp(lua_tostring(L, arg), "private") == 0)
    return LIPC_IPC_PRIVATE;
  if (lua_type(L, arg) != LUA_TNUMBER) luaL_typeerror(L, arg, "integer key or \"private\"");
  lua_Integer key = luaL_checkinteger(L, arg);
  luaL_argcheck(L, INT32_MIN <= key && key <= UINT32_MAX, arg, "key has more than 32 bits");
  return (int32_t)(uint32_t)key;
}

bool lipc_sysv_options (lua_State *L, struct lipcsys_sysvopen *ret) {
  bool unlink = lipc_optbool(L, 2, "unlink", false);
  memset(ret, 0, sizeof *ret);
  ret->key = lipc_sysv_key(L, 1);
  bool private = ret->key == LIPC_IPC_PRIVATE;
  ret->create = lipc_optbool(L, 2, "create", private);
  ret->exclusive = lipc_optbool(L, 2, "exclusive", false);
  ret->mode = lipc_optmode(L, 2, "mode", 0777, 0600);
  luaL_argcheck(L, ret->create || !private, 2, "option 'create': a private key always creates");
  luaL_argcheck(L, ret->create || !ret->exclusive, 2, "option 'exclusive' needs 'create'");
  luaL_argcheck(L, ret->create || !unlink, 2, "option 'unlink' needs 'create'");
  return unlink;
}

const char *lipc_sysv_keyname (int32_t key, char buf[16]) {
  snprintf(buf, 16, "key 0x%08x", (unsigned)key);
  return buf;
}

void lipc_sysv_opened (lua_State *L, Sysv *s, int32_t key, int id, bool made, bool unlink) {
  char name[40];
  snprintf(name, sizeof name, "key 0x%08x, id %d", (unsigned)key, id);
  s->key = key;
  s->id = id;
  s->unlink = made;
  s->h.fd = LIPC_NOFD;
  lipc_setname(L, -1, name);
  s->unlink = made && unlink;
}

bool lipc_sysv_mustremove (const Sysv *s, int fd) {
  return fd != LIPC_CLOSED && s->unlink && s->h.forkgen == lipcsys_forkgen;
}

int lipc_sysv_checkid (lua_State *L, int arg) {
  luaL_checktype(L, arg, LUA_TNUMBER);
  lua_Integer id = luaL_checkinteger(L, arg);
  luaL_argcheck(L, 0 <= id && id <= INT32_MAX, arg, "not an identifier");
  return (int)id;
}

/* Of a number that was never one of ours, the kernel's "removed" says too much. */
int lipc_sysv_noid (lua_State *L, const char *op, int id, int err) {
  char name[16];
  snprintf(name, sizeof name, "id %d", id);
  return lipc_fail(L, op, name, err == -EIDRM ? -EINVAL : err);
}

/* ---- tables ---- */

void lipc_sysv_pushperm (lua_State *L, const char *type, const struct lipcsys_sysvperm *p, int id) {
  lua_pushstring(L, type);
  lua_setfield(L, -2, "type");
  lipc_setinteger(L, "key", p->key);
  lipc_setinteger(L, "id", id);
  lipc_setinteger(L, "uid", p->uid);
  lipc_setinteger(L, "gid", p->gid);
  lipc_setinteger(L, "cuid", p->cuid);
  lipc_setinteger(L, "cgid", p->cgid);
  lipc_setinteger(L, "mode", p->mode);
}

void lipc_sysv_checkset (lua_State *L, struct lipcsys_sysvperm *p) {
  p->uid = (uint32_t)lipc_optint(L, 2, "uid", 0, UINT32_MAX - 1, p->uid);
  p->gid = (uint32_t)lipc_optint(L, 2, "gid", 0, UINT32_MAX - 1, p->gid);
  p->mode = lipc_optmode(L, 2, "mode", 0777, p->mode);
}

/* obj:id() -> integer: the kernel's number of it, as ipcs shows it */
static int l_sysv_id (lua_State *L) {
  const Sysv *s = lipc_checkopen(L, 1);
  lua_pushinteger(L, s->id);
  return 1;
}

/* obj:key() -> integer of 32 bits, signed as in C; 0: private */
static int l_sysv_key (lua_State *L) {
  const Sysv *s = lipc_checkopen(L, 1);
  lua_pushinteger(L, s->key);
  return 1;
}

const luaL_Reg lipc_sysv_methods[] = {
  {"id", l_sysv_id},
  {"key", l_sysv_key},
  {NULL, NULL},
};

/* ---- the module ---- */

/* ftok(path[, id]) -> key | nil, msg, code: made of the file's inode and device numbers and the id, an
** integer from 1 to 255 or a string of one byte (default 1); two files may have one key
** -- see ftok(3) */
static int l_sysv_ftok (lua_State *L) {
  const char *path = lipc_checkpath(L, 1);
  lua_Integer proj = 1;
  int32_t key;
  if (lua_type(L, 2) == LUA_TSTRING) {
    size_t len;
    const char *s = lua_tolstring(L, 2, &len);
    luaL_argcheck(L, len == 1, 2, "string of one byte expected");
    proj = (unsigned char)s[0];
  } else if (!lua_isnoneornil(L, 2)) {
    proj = luaL_checkinteger(L, 2);
  }
  luaL_argcheck(L, 1 <= proj && proj <= 255, 2, "must be from 1 to 255");
  int r = lipcsys_ftok(path, (int)proj, &key);
  if (r < 0) return lipc_fail(L, "sysv.ftok", path, r);
  lua_pushinteger(L, key);
  return 1;
}

/* The next word of a line, or NULL; *line moves behind it. */
static const char *next_word (const char **line, size_t *ret_len) {
  const char *w = *line + strspn(*line, " \t");
  *ret_len = strcspn(w, " \t\n");
  *line = w + *ret_len;
  return *ret_len > 0 ? w : NULL;
}

/* What the kernel's tables call otherwise. */
static const char *const renamed[][2] = {
  {"msqid", "id"}, {"shmid", "id"}, {"semid", "id"}, {"perms", "mode"}, {NULL, NULL},
};

/* Sets the field that a column of that name is about in the table on top. */
static void set_column (lua_State *L, const char *name, size_t len, const char *word) {
  for (int i = 0; renamed[i][0] != NULL; i++)
    if (strlen(renamed[i][0]) == len && memcmp(renamed[i][0], name, len) == 0) {
      name = renamed[i][1];
      len = strlen(name);
      break;
    }
  bool mode = len == 4 && memcmp(name, "mode", 4) == 0;
  long long n = strtoll(word, NULL, mode ? 8 : 10);
  lua_pushlstring(L, name, len);
  lua_pushinteger(L, mode ? n & 0777 : n);
  lua_rawset(L, -3);
  if (mode && n & ~0777LL) {
    lua_pushboolean(L, (n & 01000) != 0);
    lua_setfield(L, -2, "dest");
    lua_pushboolean(L, (n & 02000) != 0);
    lua_setfield(L, -2, "locked");
  }
}

static void add_owner (lua_State *L) {
  char buf[4096];
  lua_getfield(L, -1, "uid");
  const char *name = lipcsys_username((uint32_t)lua_tointeger(L, -1), buf, sizeof buf);
  lua_pop(L, 1);
  if (name == NULL) return;
  lua_pushstring(L, name);
  lua_setfield(L, -2, "owner");
}

/* Pushes an array with a table for each line of the text but the first, which names the columns. */
static void push_rows (lua_State *L, const char *kind, const char *text) {
  bool shm = strcmp(kind, "shm") == 0;
  const char *header = text, *line = text;
  lua_newtable(L);
  for (lua_Integer n = 1; (line = strchr(line, '\n')) != NULL && *++line != '\0'; n++) {
    const char *columns = header, *words = line, *name, *word;
    size_t len, wordlen;
    lua_newtable(L);
    if (shm) {
      lua_pushboolean(L, 0);
      lua_setfield(L, -2, "dest");
      lua_pushboolean(L, 0);
      lua_setfield(L, -2, "locked");
    }
    while ((name = next_word(&columns, &len)) && (word = next_word(&words, &wordlen)))
      set_column(L, name, len, word);
    add_owner(L);
    lua_rawseti(L, -2, n);
  }
}

/* Pushes the list of a kind; false: nil, msg, code. */
static bool list_kind (lua_State *L, const char *kind) {
  size_t size = 16384, n = 0;
  for (;;) {
    char *buf = lua_newuserdatauv(L, size, 0);
    int r = lipcsys_sysv_table(kind, buf, size, &n);
    if (r == 0) {
      push_rows(L, kind, buf);
      lua_remove(L, -2);
      return true;
    }
    lua_pop(L, 1);
    if (r != -ENOBUFS) {
      lua_pushfstring(L, "/proc/sysvipc/%s", kind);
      lipc_fail(L, "sysv.list", lua_tostring(L, -1), r);
      return false;
    }
    size *= 2;
  }
}

/* list([kind]) -> {msg = {...}, shm = {...}, sem = {...}} or the array of that kind | nil, msg, code: all
** objects of this IPC name space, whoever owns them, as ipcs shows them.  Each has key, id, uid, gid,
** cuid, cgid, mode and, when the user has a name, owner; msg: cbytes, qnum, lspid, lrpid, stime, rtime,
** ctime; shm: size, nattch, cpid, lpid, atime, dtime, ctime, rss, swap, dest, locked; sem: nsems,
** otime, ctime   -- see ipcs(1), proc(5) */
static int l_sysv_list (lua_State *L) {
  static const char *const kinds[] = {"msg", "shm", "sem", NULL};
  if (!lua_isnoneornil(L, 1))
    return list_kind(L, kinds[luaL_checkoption(L, 1, NULL, kinds)]) ? 1 : 3;
  lua_createtable(L, 0, 3);
  for (int i = 0; kinds[i] != NULL; i++) {
    if (!list_kind(L, kinds[i])) return 3;
    lua_setfield(L, -2, kinds[i]);
  }
  return 1;
}

static const luaL_Reg funcs[] = {
  {"ftok", l_sysv_ftok},
  {"list", l_sysv_list},
  {NULL, NULL},
};

int lipc_open_sysv (lua_State *L) {
  static const struct {
    const char *name;
    int (*open)(lua_State *L);
  } kinds[] = {
    {"msg", lipc_sysv_msg},
    {"shm", lipc_sysv_shm},
    {"sem", lipc_sysv_sem},
    {NULL, NULL},
  };
  lipc_module(L, funcs);
  lua_pushinteger(L, LIPC_IPC_PRIVATE);
  lua_setfield(L, -2, "PRIVATE");
  for (int i = 0; kinds[i].name != NULL; i++) {
    kinds[i].open(L);
    lua_setfield(L, -2, kinds[i].name);
  }
  return 1;
}
