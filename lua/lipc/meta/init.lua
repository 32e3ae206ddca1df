---@meta lipc

--- `local ipc = require "lipc"`.  A mechanism is loaded when it is first named.
---
--- Failures of the world are `nil, message, code`: the message says operation, object and reason
--- ("pipe:write: Broken pipe"), the code is the symbolic name of the error ("EPIPE"); a wait that ran
--- out is "ETIMEDOUT", the end of a stream "EOF", a wait on what was closed meanwhile "ECANCELED".
--- Misuse raises an error that names the argument.
---
--- A timeout is in seconds, fractions allowed: nil is the object's default (see `settimeout`), 0 tries
--- once, math.huge waits for ever; negative and NaN are misuse.
---@class lipc
---@field _VERSION string
---@field pipe lipc.pipe.module
---@field fifo lipc.fifo.module
---@field eventfd lipc.eventfd.module
---@field flock lipc.flock.module
---@field timer lipc.timer.module
---@field mqueue lipc.mqueue.module
---@field semaphore lipc.semaphore.module
---@field sysv lipc.sysv.module
---@field socket lipc.socket.module
---@field signal lipc.signal.module
---@field poll lipc.poll.module
---@field loop lipc.loop.module
---@field admin lipc.admin.module
---@field process lipc.process.module
---@field broker lipc.broker.module
---@field client lipc.client.module
local ipc = {}

--- Connects to a message broker; the same as `ipc.client.connect`.
---@param url? string "unix:///path", "nats://[user:pass@|token@]host[:port]", several with commas between; default: the user's own broker
---@param opts? lipc.client.options
---@return lipc.client? client, string? message, string? code
function ipc.connect(url, opts) end

--- Puts a coroutine under a scheduler: its waits call `waiter.wait` instead of blocking the thread. Returns nothing.
--- `ipc.loop` and the adapters do this for the coroutines they run.
---@param waiter lipc.waiter? nil takes the coroutine out again
---@param co? thread default: the running coroutine
function ipc.setwaiter(waiter, co) end

--- What a scheduler gives to `ipc.setwaiter`.
---@class lipc.waiter
---@field wait fun(fd: integer?, events: "r"|"w"|"rw"|nil, deadline: number?) returns when fd is ready, at the deadline (on the clock of ipc.now), or after cancel(fd); may yield; returning early is harmless; an error ends the operation. fd nil: a pause. events nil with an fd: only cancel and the deadline end it.
---@field cancel fun(fd: integer) wakes every waiter of fd and forgets what is kept about it; called before a descriptor is closed
---@field running fun(): boolean whether this scheduler's loop is running on this thread

--- Waits without doing anything; under a scheduler the other coroutines run meanwhile.
---@param seconds number
---@return true? ok, string? message, string? code
function ipc.sleep(seconds) end

--- The monotonic clock. -- see clock_gettime(2)
---@return number seconds
function ipc.now() end

--- What this kernel and this build can do, found by trying. A new table each time.
---@return lipc.features? features, string? message, string? code
function ipc.features() end

---@class lipc.features
---@field RWF_NOSIGNAL boolean writing to a pipe without SIGPIPE -- see pwritev2(2)
---@field RWF_NOWAIT boolean one attempt that does not block -- see preadv2(2)
---@field clone3 boolean
---@field clone_pidfd boolean a descriptor of a child from its first moment -- see clone(2)
---@field close_range boolean
---@field epoll boolean
---@field eventfd boolean
---@field memfd boolean -- see memfd_create(2)
---@field mqueue boolean POSIX message queues -- see mq_overview(7)
---@field ofd_locks boolean record locks of an open file description -- see fcntl(2)
---@field pidfd boolean -- see pidfd_open(2)
---@field signalfd boolean
---@field splice boolean
---@field timerfd boolean
---@field kernel string its release, as `uname -r`
---@field machine string as `uname -m`
---@field platform "linux"|"macos"|"freebsd"|"openbsd"|"netbsd"|"posix"
---@field lua string "5.4"

--- A command: `ipc.cmd("ls", "-l")`, `ipc.cmd{"ls", cwd = "/"}`, `ipc.cmd(fn)`; joined by `/` to pipelines:
--- `(ipc.cmd("ls") / ipc.cmd("grep", "x")):output()`.
---@param program string|lipc.process.program|function
---@param ... string|number arguments
---@return lipc.command command
function ipc.cmd(program, ...) end
