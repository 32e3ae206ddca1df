/* kit_pipebuf.h - what pipes and FIFOs can do beyond reading and writing: capacity, splice, tee.
** SPDX-License-Identifier: MIT */
#ifndef LIPC_PIPEBUF_H
#define LIPC_PIPEBUF_H

#include "kit_stream.h"

#pragma GCC visibility push(hidden)

/* Method lists for lipc_class, of ends that read (capacity, splice, tee) and of ends that write
** (capacity, splice); the objects begin with a Stream. */
extern const luaL_Reg lipc_pipe_reads[], lipc_pipe_writes[];

#pragma GCC visibility pop
#endif
