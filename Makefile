# lipc: build, check, install.  `make help` lists the targets; doc/contributing.md explains them.
# Variables to set on the command line: LUA, LUA_INCDIR, CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR;
# for the runs of the specs TEST=spec/x_spec.lua, FILTER=pattern, SEED=number, REPEAT=count, V=1.

SHELL = /bin/sh
.SUFFIXES:
.DEFAULT_GOAL = all

CC ?= cc
AR ?= ar
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
LUA ?= $(or $(firstword $(shell command -v lua5.4 lua54)),lua)
LUA_VERSION = 5.4
LUA_LIB ?= -llua$(LUA_VERSION)
# the first directory with Lua's headers: pkg-config knows, or one of the usual places
LUA_INCDIR ?= $(shell for d in $$(pkg-config --variable=includedir lua5.4 2>/dev/null \
	    || pkg-config --variable=includedir lua-5.4 2>/dev/null)/lua5.4 \
	  /usr/include/lua5.4 /usr/include/lua/5.4 /usr/local/include/lua5.4 /usr/local/include/lua54 \
	  /usr/local/include /usr/include; do \
	    test -f $$d/lua.h && grep -q 'LUA_VERSION_NUM.*504' $$d/lua.h && echo $$d && break; done)

WARNINGS = \
	-Wall \
	-Wextra \
	-Wshadow \
	-Wstrict-prototypes \
	-Wmissing-prototypes \
	-Wold-style-definition \
	-Wpointer-arith \
	-Wwrite-strings \
	-Wundef \
	-Wvla \
	-Wformat=2 \
	-Wimplicit-fallthrough

SANITIZE = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

B = build
SRCS := $(wildcard src/*.c)
HDRS := $(wildcard src/*.h src/*.def)
LUAS := $(shell find lua -name '*.lua' 2>/dev/null | LC_ALL=C sort)
# host programs in C; embed.c is compiled by its spec, as a user would
HOSTC := $(filter-out spec/host/embed.c,$(wildcard spec/host/*.c))
HOSTS := $(HOSTC:spec/host/%.c=$(B)/host/%)
PROBE = $(B)/spec/support/probe.so
CORE = $(B)/lib/lipc/core.so

# V=1 shows the commands in full
Q = $(if $(V),,@)
SAY = @echo '  $(1)  $@'

COMPILE = $(CC) -std=gnu11 $(WARNINGS) -fPIC -pthread -I$(LUA_INCDIR)

# Debian packages by purpose: add what a new spec, example or check needs.  .build/deps knows how to
# look for each without asking apt.  Servers are unpacked under build/, never installed; natsjs is the
# npm package nats, by npm below build/
DEPS_BUILD = libc6-dev lua5.4 liblua5.4-dev
DEPS_DEMO = $(DEPS_BUILD) lua-dkjson lua-messagepack lua-argparse
DEPS_TEST = $(DEPS_DEMO) lua-busted lua-filesystem lua-cqueues lua-luv nats-server libnats-dev \
	socat python3 python3-msgpack python3-sysv-ipc strace procps util-linux coreutils nodejs npm natsjs
DEPS_LINT = $(DEPS_DEMO) lua-check clang-format cppcheck binutils
DEPS_ASAN = $(DEPS_TEST)
DEPS_VALGRIND = $(DEPS_TEST) valgrind
DEPS_ROCK = $(DEPS_TEST) luarocks
DEPS_BENCH = $(DEPS_TEST) redis-tools redis-server mosquitto libhiredis-dev libmosquitto-dev

DEPS = sh .build/deps
SUB = $(MAKE) --no-print-directory
SPECS = LUA='$(LUA)' CC='$(CC)' LUA_INCDIR='$(LUA_INCDIR)' LUA_LIB='$(LUA_LIB)' SEED='$(SEED)' REPEAT='$(REPEAT)' FILTER='$(FILTER)' V='$(V)' sh .build/specs

## -- build
all: $(CORE) ## build the module (build/lib/lipc/core.so); the default

# ---------------------------------------------------------------------------------------------
# Objects.  A change of compiler or flags rebuilds; headers are tracked by the compiler.

define write_if_changed
@mkdir -p $(@D); printf '%s\n' '$(1)' | cmp -s - $@ || printf '%s\n' '$(1)' > $@
endef

$(B)/obj/.flags: FORCE
	$(call write_if_changed,$(COMPILE) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS))
$(B)/asan/obj/.flags: FORCE
	$(call write_if_changed,$(COMPILE) $(CPPFLAGS) $(SANITIZE))
$(B)/steps/obj/.flags: FORCE
	$(call write_if_changed,$(COMPILE) $(CPPFLAGS) $(CFLAGS) -DLIPC_STEPS)

$(B)/obj/%.o: src/%.c $(B)/obj/.flags
	@test -n '$(LUA_INCDIR)' || { echo 'lua.h of Lua $(LUA_VERSION) not found: run "make deps" or set LUA_INCDIR' >&2; exit 1; }
	$(call SAY,cc)
	$(Q)$(COMPILE) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/asan/obj/%.o: src/%.c $(B)/asan/obj/.flags
	$(call SAY,cc)
	$(Q)$(COMPILE) $(CPPFLAGS) $(SANITIZE) -MMD -MP -c -o $@ $<
$(B)/steps/obj/%.o: src/%.c $(B)/steps/obj/.flags
	$(call SAY,cc)
	$(Q)$(COMPILE) $(CPPFLAGS) $(CFLAGS) -DLIPC_STEPS -MMD -MP -c -o $@ $<

$(CORE): $(SRCS:src/%.c=$(B)/obj/%.o)
	@mkdir -p $(@D)
	$(call SAY,ld)
	$(Q)$(CC) -shared $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^
$(B)/asan/lib/lipc/core.so: $(SRCS:src/%.c=$(B)/asan/obj/%.o)
	@mkdir -p $(@D)
	$(call SAY,ld)
	$(Q)$(CC) -shared $(SANITIZE) -Wl,-z,nodelete -pthread -o $@ $^
$(B)/steps/lib/lipc/core.so: $(SRCS:src/%.c=$(B)/steps/obj/%.o)
	@mkdir -p $(@D)
	$(call SAY,ld)
	$(Q)$(CC) -shared $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^

# what the specs need: a module that reads this process's state, host programs in C
$(PROBE): spec/support/probe.c $(B)/obj/.flags
	@mkdir -p $(@D)
	$(call SAY,cc)
	$(Q)$(COMPILE) $(CPPFLAGS) $(CFLAGS) -shared -o $@ $<
$(B)/asan/nopreload.so: spec/support/nopreload.c
	@mkdir -p $(@D)
	$(call SAY,cc)
	$(Q)$(COMPILE) $(CFLAGS) -shared -o $@ $<
$(B)/host/%: spec/host/%.c $(B)/obj/.flags
	@mkdir -p $(@D)
	$(call SAY,cc)
	$(Q)$(COMPILE) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -Wl,-E -o $@ $< $(LUA_LIB)

-include $(wildcard $(B)/obj/*.d $(B)/asan/obj/*.d $(B)/steps/obj/*.d $(B)/host/*.d)

# ---------------------------------------------------------------------------------------------
## -- use
demo: ## install what is missing, build, run the main job (examples/wordcount.lua)
	@$(DEPS) 'make demo' $(DEPS_DEMO)
	@$(SUB) demo-run
demo-run: all
	@LUA_PATH='./lua/?.lua;./lua/?/init.lua;;' LUA_CPATH='./$(B)/lib/?.so;;' \
	  $(LUA) examples/wordcount.lua $(ARGS)

test: ## install what is missing, build, run the whole test suite
	@$(DEPS) 'make test' $(DEPS_TEST)
	@$(SUB) test-run
test-run: all static steps $(PROBE) $(HOSTS)
	@$(SPECS) plain $(TEST)

## -- check
lint: ## format, static analysis, layers, rockspec, API text: all at zero warnings
	@$(DEPS) 'make lint' $(DEPS_LINT)
	@$(SUB) lint-run
lint-run: all
	@LUA='$(LUA)' COMPILE='$(COMPILE)' sh .lint/run $(ARGS)

format: ## put the C sources into the project's format, the rockspec's lists up to date
	clang-format -i --style=file $(wildcard src/*.[ch] spec/*/*.[ch] bench/*.[ch])
	$(LUA) .lint/rockspec.lua --write

asan: ## the suite under AddressSanitizer and UndefinedBehaviorSanitizer, with leak detection
	@$(DEPS) 'make asan' $(DEPS_ASAN)
	@$(SUB) asan-run
asan-run: all static steps $(B)/asan/lib/lipc/core.so $(B)/asan/nopreload.so $(PROBE) $(HOSTS)
	@$(SPECS) asan $(TEST)

valgrind: ## the suite under valgrind (TEST=... for some files: it is slow)
	@$(DEPS) 'make valgrind' $(DEPS_VALGRIND)
	@$(SUB) valgrind-run
valgrind-run: all static steps $(PROBE) $(HOSTS)
	@$(SPECS) valgrind $(TEST)

oom: ## fail allocation 1, 2, 3 ... of every script in spec/oom
	@$(DEPS) 'make oom' $(DEPS_TEST)
	@$(SUB) oom-run
oom-run: all $(PROBE) $(HOSTS)
	@LUA='$(LUA)' sh .build/oom $(TEST)

CHAOS_KILLS ?= 5000
chaos: ## kill -9 thousands of times at random, and at each internal step up to eight times
	@$(DEPS) 'make chaos' $(DEPS_TEST)
	@$(SUB) chaos-run
chaos-run: all static steps $(PROBE) $(HOSTS)
	@for kind in mutex rwlock cond barrier once; do \
	  LUA_PATH='./lua/?.lua;./lua/?/init.lua;;' LUA_CPATH='./$(B)/lib/?.so;;' \
	    $(LUA) spec/chaos/sync.lua $$kind $(CHAOS_KILLS) $(SEED) || exit 1; done
	@LUA_PATH='./lua/?.lua;./lua/?/init.lua;;' LUA_CPATH='./$(B)/lib/?.so;;' \
	  $(LUA) spec/chaos/shared.lua $(CHAOS_KILLS) $(SEED)
	@CHAOS=1 $(SPECS) plain spec/sync_steps_spec.lua
	@export CHAOS_KILLS=$(CHAOS_KILLS); $(SPECS) plain --filter='each result comes once' spec/pool_faults_spec.lua

fuzz: ## random input for the protocol's state machines (SECONDS=60, SEED=number, TARGET=name)
	@$(DEPS) 'make fuzz' $(DEPS_DEMO)
	@$(SUB) fuzz-run
fuzz-run: all
	@LUA_PATH='./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;' LUA_CPATH='./$(B)/lib/?.so;;' \
	  $(LUA) spec/fuzz/run.lua '$(or $(SECONDS),60)' '$(SEED)' '$(TARGET)'

bench: ## measure against C twins and nats-server; non-zero when a ratio is missed
	@$(DEPS) 'make bench' $(DEPS_BENCH)
	@$(SUB) bench-run
bench-run: all
	@PATH="$$PATH:$(CURDIR)/$(B)/deps/usr/sbin:$(CURDIR)/$(B)/deps/usr/bin:/usr/sbin" CC='$(CC)' LUA='$(LUA)' \
	  LUA_PATH='./lua/?.lua;./lua/?/init.lua;./bench/?.lua;;' LUA_CPATH='./$(B)/lib/?.so;;' \
	  $(LUA) bench/run.lua $(ARGS)

rock: ## install with luarocks into build/rock, without a network
	@$(DEPS) 'make rock' $(DEPS_ROCK)
	@rm -rf $(B)/rock
	luarocks --lua-version $(LUA_VERSION) make --deps-mode=none --tree $(B)/rock lipc-dev-1.rockspec
	@rm -f src/*.o lipc/core.so; rmdir lipc 2>/dev/null || true

rock-test: ## the suite against what `make rock` installed
	@$(SUB) rock
	@$(SUB) rock-test-run
rock-test-run: static steps $(PROBE) $(HOSTS)
	@$(SPECS) rock $(TEST)

ci: ## everything that continuous integration runs
	@bash .ci/run

# ---------------------------------------------------------------------------------------------
## -- install
LUADIR = $(DESTDIR)$(PREFIX)/share/lua/$(LUA_VERSION)
LIBDIR = $(DESTDIR)$(PREFIX)/lib/lua/$(LUA_VERSION)
BINDIR = $(DESTDIR)$(PREFIX)/bin
BINS := $(wildcard lua/lipc/cli/lipc)

install: all ## install to $(DESTDIR)$(PREFIX)/{lib,share}/lua/5.4
	install -d $(LIBDIR)/lipc
	install -m 755 $(CORE) $(LIBDIR)/lipc/core.so
	@for f in $(LUAS:lua/%=%); do \
	  install -d "$(LUADIR)/$$(dirname $$f)" && install -m 644 "lua/$$f" "$(LUADIR)/$$f" || exit 1; done
	@for f in $(BINS); do install -d $(BINDIR) && install -m 755 $$f $(BINDIR)/ || exit 1; done

uninstall: ## remove what install put there
	rm -rf $(LIBDIR)/lipc $(LUADIR)/lipc
	@for f in $(BINS); do rm -f $(BINDIR)/$${f##*/}; done

steps: $(B)/steps/lib/lipc/core.so ## the module with points where a spec stops and kills it (LIPC_STEP in src/sys_mem.h)

static: $(B)/liblipc.a ## build/liblipc.a: the C objects and all Lua files, for hosts (src/lipc.h)

$(B)/static/.luas: FORCE
	$(call write_if_changed,$(LUAS))
$(B)/static/preload.c: .build/embed.lua $(LUAS) $(B)/static/.luas
	@mkdir -p $(@D)
	$(LUA) .build/embed.lua $@ $(LUAS)
$(B)/static/preload.o: $(B)/static/preload.c src/lipc.h $(B)/obj/.flags
	$(call SAY,cc)
	$(Q)$(COMPILE) $(CPPFLAGS) $(CFLAGS) -Isrc -c -o $@ $<
$(B)/liblipc.a: $(SRCS:src/%.c=$(B)/obj/%.o) $(B)/static/preload.o
	$(call SAY,ar)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# ---------------------------------------------------------------------------------------------
## -- care
deps: ## install what every other target needs
	@$(DEPS) 'make deps' $(sort $(DEPS_TEST) $(DEPS_LINT) $(DEPS_ASAN) $(DEPS_VALGRIND) $(DEPS_ROCK) $(DEPS_BENCH))

clean: ## remove what was built (programs fetched into build/deps stay)
	@test ! -d $(B) || find $(B) -mindepth 1 -maxdepth 1 ! -name deps -exec rm -rf {} +
	rm -f src/*.o lipc-dev-1*.rock

help: ## this list
	@awk 'BEGIN { FS = ":[^#]*## " } \
	  /^## -- / { printf "\n%s\n", substr($$0, 7) } \
	  /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

FORCE:
.PHONY: FORCE all demo demo-run test test-run lint lint-run format asan asan-run valgrind valgrind-run \
	oom oom-run chaos chaos-run fuzz fuzz-run bench bench-run rock rock-test rock-test-run ci install uninstall steps \
	static deps clean help
.DELETE_ON_ERROR:
