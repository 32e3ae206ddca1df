/* unload.c - a host that closes its Lua state and lives on, while something still knows the handler.
**
**   build/host/unload script.lua
**
** The script leaves a callback for SIGUSR1 behind.  The host puts its own handler before that of
** the script, as hosts do that chain, and calls the old one from it, before and after lua_close; puts the
** old one back as it found it; and forks, which calls the hooks of the library.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lua.h"
#include "lauxlib.h"
#include "lualib.h"

static struct sigaction old;
static volatile sig_atomic_t calls;

static void mine (int signo) {
  calls++;
  old.sa_handler(signo);
}

static int is_mapped (const char *name) {
  char line[4096];
  int found = 0;
  FILE *f = fopen("/proc/self/maps", "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL) found |= strstr(line, name) != NULL;
  if (f != NULL) fclose(f);
  return found;
}

static int fail (const char *what) {
  printf("%s\n", what);
  return 1;
}

int main (int argc, char **argv) {
  struct sigaction sa = {.sa_handler = mine}, now;
  if (argc != 2) return 2;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (luaL_dofile(L, argv[1]) != LUA_OK) return fail(lua_tostring(L, -1));
  sigaction(SIGUSR1, &sa, &old);
  if (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN)
    return fail("the script has no handler");
  if (!(old.sa_flags & SA_RESTART) || !(old.sa_flags & SA_ONSTACK))
    return fail("flags of the handler");
  raise(SIGUSR1);
  if (luaL_dostring(L, "check()") != LUA_OK) return fail(lua_tostring(L, -1));
  lua_close(L);
  if (!is_mapped("core.so")) return fail("the library was unmapped");
  sigaction(SIGUSR1, NULL, &now);
  if (now.sa_handler != mine) return fail("the host's own handler was taken away");
  raise(SIGUSR1); /* the chain: the handler of a state that is gone */
  sigaction(SIGUSR1, &old, NULL);
  raise(SIGUSR1);
  pid_t pid = fork();
  if (pid == 0) _exit(raise(SIGUSR1));
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || status != 0) return fail("the child did not survive");
  if (calls != 2) return fail("the host's handler was not called twice");
  L = luaL_newstate(); /* and once more */
  luaL_openlibs(L);
  if (luaL_dofile(L, argv[1]) != LUA_OK) return fail(lua_tostring(L, -1));
  raise(SIGUSR1);
  if (luaL_dostring(L, "check()") != LUA_OK) return fail(lua_tostring(L, -1));
  lua_close(L);
  printf("ok\n");
  return 0;
}
