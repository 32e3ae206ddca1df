/* process_stream.c - a stream on any descriptor or file: what Lua functions in a pipeline get as input
** and output where the pipeline itself was given a file, a terminal or a descriptor.  A terminal is
** waited for, a regular file is always ready.  Its descriptor is a duplicate.
** SPDX-License-Identifier: MIT */
#include "process.h"

#include <string.h>

static const luaL_Reg *const lists[] = {lipc_stream_reads, lipc_stream_writes, NULL};

const struct lipc_class lipc_process_stream_class = {
  .tname = "lipc.process.stream",
  .label = "stream",
  .size = sizeof(Stream),
  .methods = lists,
  .release = lipc_stream_release,
  .buffered = lipc_stream_buffered,
};

/* stream(descriptor | file | object | path, "r" | "w" | "a" | ...) -> Stream | nil, msg, code */
static int l_process_stream (lua_State *L) {
  const char *path = lua_type(L, 1) == LUA_TSTRING ? lipc_checkpath(L, 1) : NULL;
  const char *mode = luaL_checkstring(L, 2);
  struct lipcsys_fdinfo info;
  int from = path == NULL ? lipc_checkfd(L, 1) : -1, fd = -1;
  Stream *s = lipc_new(L, &lipc_process_stream_class);
  int r = path != NULL ? lipcsys_openfile(path, mode, &fd) : lipcsys_dup(from, &fd);
  if (r == 0 && (r = lipcsys_fdinfo(fd, &info)) < 0) (void)lipcsys_close(fd);
  if (r < 0) return lipc_fail(L, "open", path, r);
  s->h.io = info.io;
  s->h.access = strcmp(mode, "r") == 0 ? LIPC_IN : LIPC_OUT;
  s->h.fd = fd;
  return 1;
}

/* breaks(stream[, on]) -> boolean: internal: from now on a write raises when the reader is gone;
** whether it did */
static int l_process_breaks (lua_State *L) {
  struct lipc_handle *h = lipc_testany(L, 1);
  Stream *s = h != NULL ? lipc_stream_test(h) : NULL;
  luaL_argcheck(L, s != NULL, 1, "stream expected");
  if (!lua_isnoneornil(L, 2)) {
    s->raises = lua_toboolean(L, 2);
    s->raised = false;
  }
  lua_pushboolean(L, s->raised);
  return 1;
}

const luaL_Reg lipc_process_stream_funcs[] = {
  {"stream", l_process_stream},
  {"breaks", l_process_breaks},
  {NULL, NULL},
};
