/* lipc.h - for hosts that link lipc in (build/liblipc.a, made by `make static`).
**
**   lua_State *L = luaL_newstate();
**   luaL_openlibs(L);
**   lipc_preload(L);                     now `require "lipc"` works without any file
**
** Link with liblipc.a, Lua 5.4 and the threads of the C library (-pthread).
** SPDX-License-Identifier: MIT */
#ifndef lipc_h
#define lipc_h

#include "lua.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What `require "lipc.core"` calls: pushes the table of all mechanisms written in C. */
int luaopen_lipc_core (lua_State *L);

/* Puts lipc and everything below it into package.preload of L; pushes nothing and returns 0, so
** that it can also be called as a lua_CFunction.  May raise a memory error, as any Lua call. */
int lipc_preload (lua_State *L);

#ifdef __cplusplus
}
#endif

#endif
