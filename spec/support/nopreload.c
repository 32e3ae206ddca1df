/* nopreload.c - preloaded after the sanitizer's library: what this process starts is left alone.
** Shells and other programs leak on purpose; only Lua is to be watched.   SPDX-License-Identifier: MIT */
#include <stdlib.h>

__attribute__((constructor)) static void nopreload (void) { unsetenv("LD_PRELOAD"); }
