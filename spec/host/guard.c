/* guard.c - a host that has handlers of SIGBUS of its own: runs a Lua script with the global `host`.
**
**   handle(kind, nodefer, resethand)  installs one, above what is there: "siginfo", "plain", "chain" (which
**                   goes on to what was there, and only counts), "ignore" or "default"
**   restore()       puts back what was there before the last handle()
**   fault()         touches a mapping of its own whose file is too short: "handled", when its handler has
**                   jumped out of it; "went on" when nobody did
**   kill(code[, address])  sends this thread SIGBUS, with that si_code and address
**   seen()          of the newest call: how many there were, si_code, whether the address was that of fault(),
**                   whether SIGBUS and SIGUSR1 (which is in its mask) were blocked
**   now()           the disposition: "default", "ignore", "host" or "other"
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lua.h"
#include "lauxlib.h"
#include "lualib.h"

static sigjmp_buf out;
static volatile sig_atomic_t jumps, calls, code, rightaddr, busblocked, usrblocked;
static char *volatile touched;
static struct sigaction before[8];
static int nbefore;

static void note (int si_code, int right) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, NULL, &mask);
  calls++;
  code = si_code;
  rightaddr = right;
  busblocked = sigismember(&mask, SIGBUS);
  usrblocked = sigismember(&mask, SIGUSR1);
}

static void leave (void) {
  if (jumps) siglongjmp(out, 1);
}

static void plain (int signo) {
  note(signo == SIGBUS ? 0 : -1, 1);
  leave();
}

static void siginfo (int signo, siginfo_t *info, void *context) {
  note(info->si_code, signo == SIGBUS && context != NULL && info->si_addr == touched);
  leave();
}

static void chain_to (const struct sigaction *next, int signo, siginfo_t *info, void *context) {
  note(info->si_code, info->si_addr == touched);
  if (next->sa_flags & SA_SIGINFO) next->sa_sigaction(signo, info, context);
  else if (next->sa_handler != SIG_DFL && next->sa_handler != SIG_IGN) next->sa_handler(signo);
  else leave();
}

/* One for each library that the host might have, which knows what was there before it. */
#define CHAIN(n)                                                    \
  static void chain##n(int signo, siginfo_t *info, void *context) { \
    chain_to(&before[n], signo, info, context);                     \
  }
/* clang-format off */
CHAIN(0) CHAIN(1) CHAIN(2) CHAIN(3) CHAIN(4) CHAIN(5) CHAIN(6) CHAIN(7)
  /* clang-format on */
  static void (*const chains[])(int, siginfo_t *, void *) = {
    chain0, chain1, chain2, chain3, chain4, chain5, chain6, chain7,
};

static int l_handle (lua_State *L) {
  static const char *const kinds[] = {"siginfo", "plain", "chain", "ignore", "default", NULL};
  struct sigaction sa;
  memset(&sa, 0, sizeof sa);
  int kind = luaL_checkoption(L, 1, NULL, kinds);
  sigaddset(&sa.sa_mask, SIGUSR1);
  switch (kind) {
    case 0: sa.sa_sigaction = siginfo; break;
    case 1: sa.sa_handler = plain; break;
    case 2: sa.sa_sigaction = chains[nbefore]; break;
    default: sa.sa_handler = kind == 3 ? SIG_IGN : SIG_DFL; break;
  }
  if (kind == 0 || kind == 2) sa.sa_flags |= SA_SIGINFO;
  if (lua_toboolean(L, 2)) sa.sa_flags |= SA_NODEFER;
  if (lua_toboolean(L, 3)) sa.sa_flags |= (int)SA_RESETHAND;
  if (nbefore == 8) return luaL_error(L, "too many");
  sigaction(SIGBUS, &sa, &before[nbefore++]);
  return 0;
}

static int l_restore (lua_State *L) {
  if (nbefore == 0) return luaL_error(L, "nothing to restore");
  sigaction(SIGBUS, &before[--nbefore], NULL);
  return 0;
}

static int l_fault (lua_State *L) {
  FILE *f = tmpfile();
  touched = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(f), 0); /* of 0 bytes */
  jumps = 1;
  if (sigsetjmp(out, 1) == 0) {
    (void)*(volatile char *)touched;
    lua_pushliteral(L, "went on");
  } else {
    lua_pushliteral(L, "handled");
  }
  jumps = 0;
  munmap(touched, 4096);
  fclose(f);
  return 1;
}

static int l_kill (lua_State *L) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = SIGBUS;
  info.si_code = (int)luaL_checkinteger(L, 1);
  info.si_addr = (void *)(uintptr_t)luaL_optinteger(L, 2, 0);
  syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGBUS, &info);
  return 0;
}

static int l_seen (lua_State *L) {
  lua_pushinteger(L, calls);
  lua_pushinteger(L, code);
  lua_pushboolean(L, rightaddr);
  lua_pushboolean(L, busblocked);
  lua_pushboolean(L, usrblocked);
  return 5;
}

static int l_now (lua_State *L) {
  struct sigaction sa;
  sigaction(SIGBUS, NULL, &sa);
  void (*h)(int) = sa.sa_handler;
  int ours = h == plain || sa.sa_sigaction == siginfo;
  for (int i = 0; i < 8; i++) ours |= sa.sa_sigaction == chains[i];
  lua_pushstring(L, h == SIG_DFL ? "default" : h == SIG_IGN ? "ignore" : ours ? "host" : "other");
  return 1;
}

static const luaL_Reg funcs[] = {
  {"handle", l_handle}, {"restore", l_restore}, {"fault", l_fault}, {"kill", l_kill},
  {"seen", l_seen},     {"now", l_now},         {NULL, NULL},
};

static int traced (lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

int main (int argc, char **argv) {
  if (argc < 2) return 2;
  lua_State *L = luaL_newstate();
  if (L == NULL) return 2;
  signal(SIGBUS, SIG_DFL); /* a sanitizer's is not what is asked about here */
  luaL_openlibs(L);
  luaL_newlib(L, funcs);
  lua_setglobal(L, "host");
  lua_pushcfunction(L, traced);
  if (luaL_loadfile(L, argv[1]) != LUA_OK || lua_pcall(L, 0, 0, 1) != LUA_OK) {
    printf("%s\n", lua_tostring(L, -1));
    return 1;
  }
  l_now(L);
  printf("at the end %s\n", lua_tostring(L, -1));
  fflush(stdout);
  lua_close(L);
  return 0;
}
