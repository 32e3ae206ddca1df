---@meta lipc.signal

--- Signals: sending them, blocking them, saying what they do, and two ways of hearing of them: callbacks, which run in
--- waits (`on`), and queues, which keep every signal with its sender and value (`set`).
---
--- A signal is named as in the manual ("SIGINT", "SIGRTMIN+3", "SIGRTMAX-1") or given by its number; a wrong one is misuse.
--- SIGKILL and SIGSTOP cannot be blocked, caught, queued or ignored: asking for it is misuse.
---
--- The mask belongs to a thread, dispositions and callbacks to the whole process. A signal that is sent to a process is
--- delivered to any of its threads that does not block it; callbacks run in the Lua states that asked, in whatever
--- thread those are. -- see signal(7)
---@class lipc.signal.module
local signal = {}

---@alias lipc.signal.name string|integer

--- Sends a signal to a process; to all of group -pid when pid is negative; to the own group when 0; to all there are when
--- -1. Signal 0 sends nothing and only looks whether it could. What has come to this process has been handed to its callbacks when
--- this returns. A process id that belongs to a child is safer used through `process:kill`. -- see kill(2)
---@param pid integer
---@param sig lipc.signal.name|0
---@return true? ok, string? message, string? code "ESRCH" no such process, "EPERM" not ours
function signal.kill(pid, sig) end

--- Sends a signal to all processes of a group, 0: the own. -- see killpg(3)
---@param pgrp integer
---@param sig lipc.signal.name|0
---@return true? ok, string? message, string? code "ESRCH", "EPERM"
function signal.killpg(pgrp, sig) end

--- Sends a signal to one thread of a process. Linux. -- see tgkill(2)
---@param pid integer? nil: this process
---@param tid integer as gettid gives it there
---@param sig lipc.signal.name|0
---@return true? ok, string? message, string? code "ESRCH", "EPERM", "EAGAIN", "ENOSYS"
function signal.tgkill(pid, tid, sig) end

--- Sends a signal with a value. Real-time signals (SIGRTMIN to SIGRTMAX) are queued one by one, others once. When as many
--- are queued as this user may have, the error "EAGAIN" names that limit. -- see sigqueue(3), getrlimit(2) RLIMIT_SIGPENDING
---@param pid integer
---@param sig lipc.signal.name|0
---@param value? integer of 32 bits, default 0
---@return true? ok, string? message, string? code "EAGAIN", "ESRCH", "EPERM"
function signal.sigqueue(pid, sig, value) end

--- Sends a signal to this thread. Unless it is blocked its callbacks have run when this returns. -- see raise(3)
---@param sig lipc.signal.name|0
---@return true? ok, string? message, string? code
function signal.raise(sig) end

--- The number of this process. -- see getpid(2)
---@return integer pid
function signal.getpid() end

--- The kernel's number of this thread, for tgkill. -- see gettid(2)
---@return integer tid
function signal.gettid() end

--- Blocks signals in this thread: they wait until they are unblocked, or are fetched from a queue. Names as arguments or as
--- one list. Without any it changes nothing. -- see pthread_sigmask(3)
---@param ... lipc.signal.name|lipc.signal.name[]
---@return string[]? before the names of those that were blocked, string? message, string? code
function signal.block(...) end

--- Unblocks signals in this thread. Callbacks of those that waited have run when it returns. -- see pthread_sigmask(3)
---@param ... lipc.signal.name|lipc.signal.name[]
---@return string[]? before, string? message, string? code
function signal.unblock(...) end

--- Blocks exactly these in this thread; takes what block and unblock gave. -- see pthread_sigmask(3)
---@param list lipc.signal.name[]
---@return string[]? before, string? message, string? code
function signal.setmask(list) end

--- Blocked signals that wait to be delivered to this thread or to this process. -- see sigpending(2)
---@return string[]? names, string? message, string? code
function signal.pending() end

--- The names of all signals, in the order of their numbers. -- see signal(7)
---@return string[] names
function signal.list() end

--- The number of a signal on this system.
---@param sig lipc.signal.name
---@return integer number
function signal.number(sig) end

--- The name of a signal, as callbacks and queues give it.
---@param sig lipc.signal.name
---@return string name
function signal.name(sig) end

--- Calls fn(name) when the signal has come: during waits of lipc, on entry to its calls, and in `dispatch`; never in the middle of
--- other Lua code. Several callbacks of one signal run in the order in which they were made. What comes several times before
--- they run makes them run once: use `set` to count. A callback may wait (this blocks the thread, also under a loop, where
--- it should start a task instead), may close any registration, and is not run inside itself. Its error comes out of the wait or
--- call that ran it; what else was due then runs in the next one. A callback stays in force, also when nobody keeps the
--- registration, until that is closed or the Lua state ends; then the signal does again what it did before, unless somebody
--- else has changed that since. SIGSEGV, SIGBUS, SIGFPE and SIGILL are misuse. A forked child has the same callbacks. -- see sigaction(2)
---@param sig lipc.signal.name
---@param fn fun(name: string)
---@return lipc.signal.registration? registration, string? message, string? code "EMFILE", "ENFILE", "ENOMEM"
function signal.on(sig, fn) end

--- A callback in force. It has no descriptor: `fd`, `pollfd`, `detach` and `stat` are misuse.
---@class lipc.signal.registration : lipc.object
local Registration = {}

--- Runs the callbacks of signals that have come, for programs that wait outside lipc.
---@return integer count how many callbacks were run
function signal.dispatch() end

--- A descriptor that is readable when dispatch has something to do, for programs with an event loop of their own, cqueues and
--- luv among them: let that loop watch it and call dispatch. It belongs to lipc and stays the same until the Lua state is
--- closed: neither read nor close it.
---@return integer? fd, string? message, string? code "EMFILE", "ENFILE", "ENOMEM"
function signal.pollfd() end

--- Makes this process ignore a signal, until `restore`, a later `default` or `on`, or the end of the Lua state. Ignoring SIGPIPE
--- makes writes to pipes cheaper where the kernel has no RWF_NOSIGNAL; they fail with "EPIPE" in any case. -- see sigaction(2)
---@param sig lipc.signal.name
---@return true? ok, string? message, string? code
function signal.ignore(sig) end

--- Gives a signal its default action, likewise. -- see sigaction(2), signal(7)
---@param sig lipc.signal.name
---@return true? ok, string? message, string? code
function signal.default(sig) end

--- Takes back `ignore` and `default`: callbacks are called again, or, where there are none, all is as it was before.
---@param sig lipc.signal.name
---@return true? ok, string? message, string? code
function signal.restore(sig) end

--- What this process does at a signal now, whoever said so. -- see sigaction(2)
---@param sig lipc.signal.name
---@return "ignore"|"default"|"handler"|nil disposition, string? message, string? code
function signal.disposition(sig) end

--- A queue of signals, for loops and pollers. The signals are blocked in this thread; closing unblocks those that were not
--- blocked before (and that no other queue of the thread needs) and drops what was not read. In a process with several
--- threads all of them should block the signals (block before they are started), or a signal to the process may be delivered
--- to another one. `detach` leaves them blocked. Linux. -- see signalfd(2)
---@param ... lipc.signal.name|lipc.signal.name[]
---@return lipc.signal.set? set, string? message, string? code "EMFILE", "ENFILE", "ENOMEM", "ENOSYS"
function signal.set(...) end

--- Takes over a signalfd that somebody else made. What is blocked is its maker's affair.
---@param fd integer
---@return lipc.signal.set set
function signal.fromfd(fd) end

--- A queue of signals.
---@class lipc.signal.set : lipc.object
local Set = {}

--- Takes the next signal: lowest number first; of one number, when it is a real-time signal, in the order of sending.
---@param timeout? number seconds
---@return lipc.signal.info? info, string? message, string? code "ETIMEDOUT", "ECANCELED" when it was closed meanwhile
function Set:receive(timeout) end

--- An iterator over receive() that does not end by itself; an error or a timeout (`settimeout`) raises.
---@return fun(): lipc.signal.info
function Set:signals() end

--- What came with a signal. -- see sigaction(2) siginfo_t
---@class lipc.signal.info
---@field signal string its name
---@field signo integer its number
---@field code string|integer why: "SI_USER" (kill), "SI_QUEUE" (sigqueue), "SI_TKILL" (tgkill, raise), "SI_KERNEL", "SI_TIMER", "CLD_EXITED", "CLD_KILLED" ...; a number that has no name stays one
---@field pid? integer who sent it, or the child
---@field uid? integer whose process that is
---@field value? integer of sigqueue or a timer
---@field status? integer SIGCHLD: exit status (CLD_EXITED) or signal
---@field utime? number SIGCHLD: seconds of processor time of the child
---@field stime? number SIGCHLD: and of the kernel for it
---@field timerid? integer SI_TIMER
---@field overrun? integer SI_TIMER: expirations that were not queued
---@field fd? integer SIGIO: the descriptor
---@field band? integer SIGIO: events as of poll(2)
