/* socket_addr.c - socket addresses as Lua tables: {path=}, {abstract=}, {host=, port=}; unix(7),
** ip(7), ipv6(7).  SPDX-License-Identifier: MIT */
#include "socket.h"

#include <string.h>
#include <strings.h>

const char *const lipc_socket_types[] = {"", "stream", "dgram", "seqpacket", "other", NULL};
const char *const lipc_socket_families[] = {"", "unix", "inet", "inet6", "other", NULL};

int lipc_socket_choice (lua_State *L, int idx, const char *name, const char *const list[],
                        int dflt) {
  const char *s = lipc_optstring(L, idx, name, NULL);
  if (s == NULL) return dflt;
  for (int i = 1; i < LIPC_SOCK_OTHER; i++)
    if (strcmp(list[i], s) == 0) return i;
  return luaL_argerror(L, idx,
                       lua_pushfstring(L, "option '%s': '%s' is none of %s, %s, %s", name, s,
                                       list[1], list[2], list[3]));
}

/* The text of a field; NULL when it is not given.  It stays valid while the table has it. */
static const char *field (lua_State *L, int idx, const char *name, size_t *len) {
  const char *s = NULL;
  int type = lua_getfield(L, idx, name);
  if (type == LUA_TSTRING) {
    s = lua_tolstring(L, -1, len);
  } else if (type != LUA_TNIL) {
    luaL_argerror(
      L, idx,
      lua_pushfstring(L, "option '%s': string expected, got %s", name, luaL_typename(L, -1)));
  }
  lua_pop(L, 1);
  return s;
}

static void unix_address (lua_State *L, int idx, const char *what, const char *name, size_t len,
                          struct lipcsys_addr *a) {
  bool abstract = what[0] == 'a';
  size_t max = 0;
  if (!abstract && len == 0)
    luaL_argerror(L, idx, lua_pushfstring(L, "option '%s': empty string", what));
  if (!abstract && strlen(name) != len)
    luaL_argerror(L, idx, lua_pushfstring(L, "option '%s': string contains zeros", what));
  int r = lipcsys_unixaddr(name, len, abstract, a, &max);
  if (r == -ENAMETOOLONG)
    luaL_argerror(L, idx,
                  lua_pushfstring(L, "option '%s': %d bytes, but a socket address holds %d", what,
                                  (int)len, (int)max));
  if (r < 0) luaL_argerror(L, idx, "no abstract names on this platform");
}

void lipc_socket_where (lua_State *L, int idx, bool needport, struct lipc_socket_where *w) {
  size_t plen = 0, alen = 0, hlen = 0;
  *w = (struct lipc_socket_where){0};
  luaL_checktype(L, idx, LUA_TTABLE);
  const char *path = field(L, idx, "path", &plen), *abstract = field(L, idx, "abstract", &alen);
  const char *host = field(L, idx, "host", &hlen);
  lua_Integer port = lipc_optint(L, idx, "port", 0, 65535, -1);
  w->family = lipc_socket_choice(L, idx, "family", lipc_socket_families, 0);
  if ((path != NULL) + (abstract != NULL) + (host != NULL || port >= 0) > 1)
    luaL_argerror(L, idx, "one of 'path', 'abstract' and 'host', 'port' expected, got several");
  if (path != NULL || abstract != NULL) {
    if (w->family != 0 && w->family != LIPC_AF_UNIX)
      luaL_argerror(L, idx, "option 'family': a path is of family 'unix'");
    w->family = LIPC_AF_UNIX;
    if (path != NULL) unix_address(L, idx, "path", path, plen, &w->addr);
    else unix_address(L, idx, "abstract", abstract, alen, &w->addr);
    return;
  }
  if (host == NULL && port < 0) return;
  if (port < 0 && needport) luaL_argerror(L, idx, "option 'port' is missing");
  if (w->family == LIPC_AF_UNIX) luaL_argerror(L, idx, "option 'family': 'unix' has no hosts");
  if (host != NULL && hlen == 0) luaL_argerror(L, idx, "option 'host': empty string");
  if (host != NULL && strlen(host) != hlen)
    luaL_argerror(L, idx, "option 'host': string contains zeros");
  if (host == NULL) host = w->family == LIPC_AF_INET6 ? "::1" : "127.0.0.1";
  w->host = host;
  w->port = port < 0 ? 0 : (int)port;
  if (strcmp(host, "*") == 0) host = w->family == LIPC_AF_INET ? "0.0.0.0" : "::";
  /* RFC 6761: always loopback; nobody need be asked */
  if (strcasecmp(host, "localhost") == 0) host = w->family == LIPC_AF_INET6 ? "::1" : "127.0.0.1";
  (void)lipcsys_inetaddr(host, w->port, w->family, &w->addr);
}

void lipc_socket_checkaddr (lua_State *L, int idx, struct lipcsys_addr *a) {
  static const char *const names[] = {"path", "abstract", "host", "port", "family", NULL};
  struct lipc_socket_where w;
  luaL_checktype(L, idx, LUA_TTABLE);
  lipc_checkopts(L, idx, names);
  lipc_socket_where(L, idx, true, &w);
  if (w.addr.size == 0)
    luaL_argerror(
      L, idx,
      w.host != NULL
        ? lua_pushfstring(L, "option 'host': '%s' is not numeric; see socket.resolve", w.host)
        : "one of 'path', 'abstract' and 'host', 'port' expected");
  *a = w.addr;
}

void lipc_socket_pushaddr (lua_State *L, const struct lipcsys_addr *a) {
  struct lipcsys_addrparts p;
  lipcsys_addrparts(a, &p);
  lua_createtable(L, 0, 3);
  lua_pushstring(L, lipc_socket_families[p.family]);
  lua_setfield(L, -2, "family");
  if (p.family == LIPC_AF_UNIX) {
    if (p.len == 0) return;
    lua_pushlstring(L, p.name, p.len);
    lua_setfield(L, -2, p.abstract ? "abstract" : "path");
  } else if (p.family != LIPC_AF_OTHER) {
    lua_pushlstring(L, p.name, p.len);
    lua_setfield(L, -2, "host");
    lua_pushinteger(L, p.port);
    lua_setfield(L, -2, "port");
  }
}

const char *lipc_socket_pushname (lua_State *L, const struct lipcsys_addr *a) {
  struct lipcsys_addrparts p;
  lipcsys_addrparts(a, &p);
  switch (p.family) {
    case LIPC_AF_UNIX:
      for (size_t i = 0; i < p.len; i++) /* an abstract name may hold anything */
        if (p.abstract && (unsigned char)p.name[i] < ' ') p.name[i] = '@';
      return lua_pushfstring(L, "%s%s", p.abstract ? "@" : "", p.name);
    case LIPC_AF_INET: return lua_pushfstring(L, "%s:%d", p.name, p.port);
    case LIPC_AF_INET6: return lua_pushfstring(L, "[%s]:%d", p.name, p.port);
    default: return lua_pushliteral(L, "");
  }
}
