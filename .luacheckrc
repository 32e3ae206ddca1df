std = "lua54"
max_line_length = 130
cache = false
exclude_files = { "build/", "lua_modules/" }
-- `_` and names that begin with it are there to be ignored
ignore = { "212/self", "212/_.*", "213/_.*" }

files["spec/"] = { std = "+busted", max_line_length = 160 } -- transcripts of protocols
files["spec/oom/"] = { std = "lua54" }
-- definitions for language servers: functions without bodies
files["lua/lipc/meta/"] = { ignore = { "211", "212", "241" }, max_line_length = false }
-- protocol state machines: bytes in, events and bytes out; no I/O, no clock
files["lua/lipc/proto/"] = { not_globals = { "io", "os", "print", "debug", "dofile", "loadfile" } }
files["lipc-dev-1.rockspec"] = { std = "+rockspec" }
files[".busted"] = { std = "lua54" }
