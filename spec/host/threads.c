/* threads.c - a host with one Lua state in each of several threads.
**
**   build/host/threads script.lua threads rounds signal
**
** Each thread runs the script with the globals `index`, `threads`, `rounds` and
**   barrier()      waits for all threads
**   storm(on)      whether this process sends itself the signal without end, from a thread of its own
** and closes its state.  Then dispositions and the mask of the main thread must be as before.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lua.h"
#include "lauxlib.h"
#include "lualib.h"

static const char *script;
static int threads, rounds, signo;
static pthread_barrier_t all;
static atomic_int storming, over, failures;

static int l_barrier (lua_State *L) {
  (void)L;
  pthread_barrier_wait(&all);
  return 0;
}

static int l_storm (lua_State *L) {
  atomic_store(&storming, lua_toboolean(L, 1));
  return 0;
}

static void *sender (void *unused) {
  while (!atomic_load(&over)) {
    if (atomic_load(&storming)) kill(getpid(), signo);
    usleep(atomic_load(&storming) ? 20 : 1000);
  }
  return unused;
}

static int traced (lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

static void *run (void *arg) {
  lua_State *L = luaL_newstate();
  if (L == NULL) abort();
  luaL_openlibs(L);
  lua_pushinteger(L, (int)(size_t)arg);
  lua_setglobal(L, "index");
  lua_pushinteger(L, threads);
  lua_setglobal(L, "threads");
  lua_pushinteger(L, rounds);
  lua_setglobal(L, "rounds");
  lua_register(L, "barrier", l_barrier);
  lua_register(L, "storm", l_storm);
  lua_pushcfunction(L, traced);
  if (luaL_loadfile(L, script) != LUA_OK || lua_pcall(L, 0, 0, 1) != LUA_OK) {
    printf("thread %d: %s\n", (int)(size_t)arg, lua_tostring(L, -1));
    fflush(stdout);
    _exit(1); /* the others may be waiting for this one */
  }
  lua_close(L);
  return NULL;
}

int main (int argc, char **argv) {
  struct sigaction before[NSIG], after;
  sigset_t mask_before, mask_after;
  pthread_t thread[64], storm;
  if (argc != 5) return 2;
  script = argv[1];
  threads = atoi(argv[2]);
  rounds = atoi(argv[3]);
  signo = atoi(argv[4]);
  if (threads < 1 || threads > 64) return 2;
  memset(before, 0, sizeof before);
  for (int s = 1; s < NSIG; s++) sigaction(s, NULL, &before[s]);
  pthread_sigmask(SIG_BLOCK, NULL, &mask_before);
  pthread_barrier_init(&all, NULL, (unsigned)threads);
  /* what is sent before the first state listens and after the last has gone must not end us */
  signal(signo, SIG_IGN);
  pthread_create(&storm, NULL, sender, NULL);
  for (int i = 0; i < threads; i++) pthread_create(&thread[i], NULL, run, (void *)(size_t)(i + 1));
  for (int i = 0; i < threads; i++) pthread_join(thread[i], NULL);
  atomic_store(&over, 1);
  pthread_join(storm, NULL);
  sigaction(signo, NULL, &after);
  if (after.sa_handler != SIG_IGN) failures++, printf("the signal's disposition changed\n");
  signal(signo, SIG_DFL);
  pthread_sigmask(SIG_BLOCK, NULL, &mask_after);
  for (int s = 1; s < NSIG; s++) {
    if (s != signo && sigaction(s, NULL, &after) == 0 && after.sa_handler != before[s].sa_handler)
      failures++, printf("the disposition of signal %d changed\n", s);
    if (sigismember(&mask_before, s) != sigismember(&mask_after, s))
      failures++, printf("the mask of signal %d changed\n", s);
  }
  if (failures == 0) printf("ok\n");
  return failures != 0;
}
