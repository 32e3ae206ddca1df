/* sys_process.c - this process as a host of the library: pinning, the fork hook.
** The variables here are, with the signal table, all the mutable globals of lipc.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

unsigned lipcsys_forkgen;
_Atomic unsigned lipcsys_alarm;
_Atomic bool lipcsys_sigpipe_ignored;

static int pin_result;

static void in_child (void) { lipcsys_forkgen++; }

/* dlclose must not unmap code that a fork hook or a signal handler still calls. */
static void pin (void) {
  Dl_info info;
  if (dladdr((void *)&lipcsys_forkgen, &info) != 0 && info.dli_fname != NULL)
    (void)dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  pin_result = -pthread_atfork(NULL, NULL, in_child);
}

int lipcsys_pin (void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  int r = pthread_once(&once, pin);
  return r != 0 ? -r : pin_result;
}
