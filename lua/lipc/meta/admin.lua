---@meta lipc.admin

--- What there is of named objects, made by lipc or by any other program: POSIX shared memory, semaphores and message queues,
--- System V queues, segments and semaphore sets, and the Unix sockets (the broker's too) and FIFOs of the rendezvous directory. Whose they
--- are, how old, who uses them; and the removal of what was left behind. Linux.
---
--- -- see shm_overview(7), sem_overview(7), mq_overview(7), sysvipc(7), ipcs(1), lsof(8)
---@class lipc.admin.module
local admin = {}

---@alias lipc.admin.kind "shm"|"semaphore"|"mqueue"|"sysv.msg"|"sysv.shm"|"sysv.sem"|"socket"|"fifo"

---@class lipc.admin.list_options
---@field kind? lipc.admin.kind|lipc.admin.kind[] default: all
---@field name? string a Lua pattern: only entries in whose name it is found
---@field all? boolean of all users; default: what this process's effective user owns
---@field users? boolean asks who has each open, which means a look at every process of the machine
---@field dirs? string[] further directories to look for sockets and FIFOs in

--- The objects, by kind and name. What vanishes meanwhile is not among them. Kinds that could not be listed are in the second
--- result, with the reason; when it was all that was asked for the call fails. Message queues can be seen where /dev/mqueue is mounted,
--- and by root anywhere. The rendezvous directories are `$XDG_RUNTIME_DIR/lipc` and `/tmp/lipc-<uid>`, with `all` those of every user;
--- one that is not its user's own, or that others may write to, is not looked into ("EPERM").
---@param opts? lipc.admin.list_options
---@return lipc.admin.entry[]? list
---@return table<lipc.admin.kind, string>|string|nil unseen_or_message
---@return string? code "ENOENT", "EACCES", "EPERM", "EMFILE", "ENOSYS"
function admin.list(opts) end

--- Names are bytes, with newlines and whatever else somebody has put into them.
---@class lipc.admin.entry
---@field kind lipc.admin.kind
---@field name string as the mechanism's `open` takes it: "/jobs"; a path; of System V the key as ipcs shows it, "0x0000002a"
---@field key? integer of System V, signed; 0: private
---@field id? integer of System V
---@field uid integer
---@field gid integer
---@field owner? string login name, if there is one
---@field mode integer permission bits
---@field size? integer bytes; of a System V queue those that are in it, of a POSIX queue what it takes of RLIMIT_MSGQUEUE. Absent: of sets,
---  FIFOs and sockets, and of POSIX queues that may not be read
---@field age number seconds since it was made, where the file system tells, else since it was last changed
---@field idle number seconds since it was last changed, or used as far as the kernel notes it; writing to a mapping is not noted, reading the state
---  of a POSIX queue in /dev/mqueue, as `mqueue.list` does, counts as use
---@field creator "alive"|"gone"|"unknown" who made a segment, or is bound to a socket; nobody notes it of others. Alive is the process
---  of that number if it began before the object was made; else it is another one, and the creator gone
---@field pid? integer the process that made a System V segment
---@field bound? boolean of a socket: somebody is bound to it (no connection is made to find that out)
---@field nattch? integer of a segment: how often it is attached
---@field qnum? integer of a System V queue: messages in it
---@field curmsgs? integer of a POSIX queue: messages in it
---@field nsems? integer of a set: how many semaphores
---@field waiting? integer of a set, with `users`: how many threads wait for its semaphores
---@field dev? integer of what is a file
---@field ino? integer
---@field identity string tells it from another object that gets its name, number or inode later
---@field users? integer[] with `users`: the processes that have it open or mapped; of System V queues and sets those among the last to use it that live
---@field partial? boolean with `users`: there may be more, in processes that this one may not look into; always of System V queues and sets

---@class lipc.admin.remove_options
---@field kind? lipc.admin.kind|lipc.admin.kind[] default: all
---@field name? string a Lua pattern: only what it is found in
---@field entries? lipc.admin.entry[] only these, as `list` gave them; kind and name choose among them
---@field all? boolean also what other users own, if the kernel allows it
---@field dirs? string[] further directories of sockets and FIFOs
---@field age? number only what has been idle for so many seconds. Default: 0 where the creator is known to be gone, a day where nobody can tell
---@field force? boolean used or not, whoever lives
---@field dry? boolean removes nothing; the answers are the same

--- Removes what was left behind: what is this user's, whose creator is gone, and that nobody has open.
---
--- - A segment goes when the process that made it has ended and nobody has it attached; a socket when nobody is bound to it.
--- - Of shared memory, semaphores and queues of POSIX nobody knows who made them: they go when no process has them open or mapped and
---   they have been idle for `age`. The kernel is asked by a lease, which sees all processes, also those that /proc does not show.
--- - A FIFO likewise, but /proc alone is asked: it stays ("unknown") if processes cannot be looked into. One that sleeps in
---   open(2) until the other side comes does not show.
--- - A System V queue or set goes when the processes that last used it have ended, nobody waits for a semaphore, and it has been idle for
---   `age`. A queue that nobody has used yet stays.
---
--- What an object is, is checked again right before it goes, so that a new one of that name stays. The directory of a
--- dead socket is locked meanwhile; nothing else lets the kernel check and remove in one step. A process that opens a
--- file while it is looked at may see its opening take microseconds longer; with O_NONBLOCK it may fail with EAGAIN. -- see fcntl(2) F_SETLEASE
---@param opts lipc.admin.remove_options `{}`: everything that may go
---@return lipc.admin.entry[]? removed, lipc.admin.kept[]|string kept_or_message, string? code as of list
function admin.remove(opts) end

--- reason: "open": a process has it open, is attached, bound to it or waits for it; "creator": that lives; "age": not idle for long enough; "unknown":
--- it cannot be told who uses it; "owner": an entry of another user, without `all`; "changed": it is gone, or another one has its name; or the code of an error, "EPERM", "EACCES".
---@class lipc.admin.kept : lipc.admin.entry
---@field reason string
---@field message string
