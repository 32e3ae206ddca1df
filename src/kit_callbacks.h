/* kit_callbacks.h - signal arguments, and the callbacks that waits run.  SPDX-License-Identifier: MIT */
#ifndef LIPC_KIT_CALLBACKS_H
#define LIPC_KIT_CALLBACKS_H

#include "lipc_kit.h"

#pragma GCC visibility push(hidden)

#define LIPC_SIGNAME 24

/* The name of a signal, in buf where it has to be made. */
const char *lipc_signame (int signo, char buf[LIPC_SIGNAME]);

/* The signal at idx, by name or number, or an error about argument arg whose reason begins with extra.
** least: 0 where 0 is allowed. */
int lipc_signalat (lua_State *L, int idx, int arg, int least, const char *extra);
int lipc_checksignal (lua_State *L, int arg);

/* SIGKILL and SIGSTOP cannot be blocked, caught or ignored (what); the kernel would say so too late or
** not at all. */
void lipc_checksigopen (lua_State *L, int arg, int signo, const char *what);

/* Prepares the state for callbacks; and the functions on, dispatch, pollfd, ignore, default, restore,
** disposition. */
void lipc_opensignals (lua_State *L);
extern const luaL_Reg lipc_signal_callbacks[];

#pragma GCC visibility pop
#endif
