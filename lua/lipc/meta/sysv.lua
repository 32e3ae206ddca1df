---@meta lipc.sysv

--- System V IPC: message queues, shared memory, semaphore sets. Objects of the kernel that have a key or only a number
--- and live until they are removed, whoever is there. -- see sysvipc(7)
---@class lipc.sysv.module
---@field PRIVATE integer the key of what has none; "private" is the same
---@field msg lipc.sysv.msg.module
---@field shm lipc.sysv.shm.module
---@field sem lipc.sysv.sem.module described in sysv_sem.lua
local sysv = {}

--- A key, made of the file's inode and device numbers and the id; the same in every language. Two files may have the same
--- key, and a file that is made anew has another. -- see ftok(3)
---@param path string an existing file
---@param id? integer|string 1 to 255, or a string of one byte; default 1
---@return integer? key, string? message, string? code "ENOENT", "EACCES"; the key is of 32 bits, signed as in C
function sysv.ftok(path, id) end

--- All objects of this IPC name space, whoever owns them, as `ipcs` shows them. -- see ipcs(1), proc(5)
---@param kind? "msg"|"shm"|"sem" default: all three
---@return { msg: lipc.sysv.msg.row[], shm: lipc.sysv.shm.row[], sem: lipc.sysv.sem.row[] }|lipc.sysv.row[]|nil list of one kind its array
---@return string? message
---@return string? code "ENOENT" where there is no /proc
function sysv.list(kind) end

---@class lipc.sysv.row
---@field key integer signed
---@field id integer
---@field owner? string login name, if there is one
---@field uid integer
---@field gid integer
---@field cuid integer
---@field cgid integer
---@field mode integer
---@field ctime integer seconds since 1970

---@class lipc.sysv.msg.row : lipc.sysv.row
---@field cbytes integer bytes in it
---@field qnum integer messages in it
---@field lspid integer
---@field lrpid integer
---@field stime integer
---@field rtime integer

---@class lipc.sysv.shm.row : lipc.sysv.row
---@field size integer
---@field nattch integer
---@field cpid integer
---@field lpid integer
---@field atime integer
---@field dtime integer
---@field rss integer
---@field swap integer
---@field dest boolean removed, but attached
---@field locked boolean

---@class lipc.sysv.sem.row : lipc.sysv.row
---@field nsems integer
---@field otime integer

---@class lipc.sysv.options
---@field create? boolean makes it if it is not there; default: "ENOENT". A private key always makes one
---@field exclusive? boolean with create: "EEXIST" if it is there
---@field mode? integer|string permission bits of one that is made, an octal string such as "0640" or a number; default "0600", whatever the umask
---@field unlink? boolean with create: if this call made it, it is removed when the object is closed or collected (`os.exit(0)` does neither, `os.exit(0, true)` does), by the process that made it

--- What is in every stat of a System V object.
---@class lipc.sysv.stat
---@field type string
---@field key integer 0: private
---@field id integer
---@field uid integer owner
---@field gid integer
---@field cuid integer who made it
---@field cgid integer
---@field mode integer permission bits
---@field ctime integer seconds since 1970; other times are 0 as long as nothing has happened

---@class lipc.sysv.msg.module
local msg = {}

--- Opens or makes a queue. Opening asks for no right; what is not allowed fails when it is tried. -- see msgget(2)
---@param key integer|"private" 32 bits, signed or not
---@param opts? lipc.sysv.options
---@return lipc.sysv.msg? queue, string? message, string? code "ENOENT", "EEXIST", "EACCES", "ENOSPC": kernel.msgmni, "ENOMEM"
function msg.open(key, opts) end

--- The queue with that number, as `ipcmk -Q` and `ipcs` tell it. -- see msgctl(2)
---@param id integer
---@return lipc.sysv.msg? queue, string? message, string? code "EINVAL": there is none; "EACCES": no right to read
function msg.fromid(id) end

--- A queue of messages with types. It has no descriptor: a thread that waits sleeps in the kernel, a coroutine of a scheduler
--- tries again after pauses of at most 10 ms. close() leaves the queue alone. After a fork both processes have it.
---@class lipc.sysv.msg : lipc.object
local Queue = {}

--- Sends, waiting while the queue is full. The payload is exactly the string: the type is not counted in it. -- see msgsnd(2)
---@param type integer at least 1
---@param data string
---@param timeout? number seconds
---@return true? ok, string? message, string? code "ETIMEDOUT" (says how full), "E2BIG": larger than kernel.msgmax or than the queue's qbytes, so that it could never be sent; "EIDRM": removed, also while waiting; "ECANCELED": this object was closed or removed it; "EACCES"
function Queue:send(type, data, timeout) end

---@class lipc.sysv.msg.receive_options
---@field except? boolean the first message of any other type; type must be at least 1
---@field max? integer bytes: of a message with more "E2BIG", and it stays; default: no limit
---@field truncate? boolean with max: such a message is cut, the rest is lost
---@field timeout? number seconds

--- Takes a message, waiting for one. type 0, or none: the first; above 0: the first of that type; below 0: the first of the lowest
--- type that is at most -type. -- see msgrcv(2)
---@param type? integer
---@param opts? number|lipc.sysv.msg.receive_options a number is the timeout in seconds
---@return string? data, integer|string type_or_message, string? code "ETIMEDOUT", "E2BIG", "EIDRM": removed, also while waiting; "ECANCELED": this object was closed or removed it; "EACCES"
function Queue:receive(type, opts) end

--- The message at a place of the queue; it stays there. -- see msgrcv(2) MSG_COPY
---@param index integer from 1
---@return string? data, integer|string type_or_message, string? code "ENOMSG": there are fewer; "ENOSYS": the kernel has no CONFIG_CHECKPOINT_RESTORE
function Queue:copy(index) end

--- What the kernel knows about it. -- see msgctl(2) IPC_STAT
---@return lipc.sysv.msg.stat? stat, string? message, string? code "EIDRM", "EACCES"
function Queue:stat() end

---@class lipc.sysv.msg.stat : lipc.sysv.stat
---@field qnum integer messages in it
---@field qbytes integer bytes that may be in it
---@field cbytes integer bytes in it
---@field lspid integer process id of the last sender
---@field lrpid integer of the last receiver
---@field stime integer
---@field rtime integer

---@class lipc.sysv.msg.set_options
---@field uid? integer
---@field gid? integer
---@field mode? integer|string permission bits, an octal string such as "0640" or a number
---@field qbytes? integer above kernel.msgmnb needs CAP_SYS_RESOURCE

--- Changes owner, mode and size; what is not given stays. Needs the right to read it. -- see msgctl(2) IPC_SET
---@param values lipc.sysv.msg.set_options
---@return true? ok, string? message, string? code "EPERM", "EIDRM", "EACCES"
function Queue:set(values) end

--- Removes the queue and what is in it, for everybody; the object is closed. Who waits for the queue by any other object, in whatever
--- process, gets "EIDRM"; other coroutines that wait by this one "ECANCELED". -- see msgctl(2) IPC_RMID
---@return true? ok, string? message, string? code "EPERM" (stays open), "EIDRM"
function Queue:remove() end

--- The kernel's number of it.
---@return integer id
function Queue:id() end

--- Its key; 0: private.
---@return integer key
function Queue:key() end

---@class lipc.sysv.shm.module
local shm = {}

---@class lipc.sysv.shm.options : lipc.sysv.options
---@field size? integer bytes; needed to create. Of one that is there: the least that it must have
---@field hugetlb? boolean of huge pages, from the pool that vm.nr_hugepages makes

--- Opens or makes a segment, whose bytes are all zero then. -- see shmget(2)
---@param key integer|"private" 32 bits, signed or not
---@param opts? lipc.sysv.shm.options
---@return lipc.sysv.shm? segment, string? message, string? code "ENOENT", "EEXIST", "EACCES", "EINVAL": smaller than size, or size above kernel.shmmax; "ENOSPC": kernel.shmmni or shmall; "ENOMEM", "EPERM": huge pages
function shm.open(key, opts) end

--- The segment with that number, as `ipcmk -M` and `ipcs` tell it. -- see shmctl(2)
---@param id integer
---@return lipc.sysv.shm? segment, string? message, string? code "EINVAL": there is none; "EACCES": no right to read
function shm.fromid(id) end

--- A segment of memory that processes share. close() and collection detach it; it stays until it is removed and the last has
--- detached. A forked child is attached too, as one more. Nothing orders what processes do in it: use a semaphore or lock.
---@class lipc.sysv.shm : lipc.mapping
local Segment = {}

--- Maps it into this process, once at a time; a second time is misuse. -- see shmat(2)
---@param opts? lipc.sysv.shm.attach_options
---@return true? ok, string? message, string? code "EACCES", "EIDRM", "ENOMEM", "EMFILE"
function Segment:attach(opts) end

---@class lipc.sysv.shm.attach_options
---@field readonly? boolean writing is misuse then

--- Takes it out of this process again (it gives no descriptor away: it has none). When it is not attached, misuse. -- see shmdt(2)
---@return true? ok, string? message, string? code
function Segment:detach() end

--- Bytes of the attached segment; outside of it is misuse.
---@param offset integer from 0
---@param n integer bytes
---@return string data
function Segment:read(offset, n) end

--- Puts bytes into the attached segment; outside of it, or attached read-only, is misuse.
---@param offset integer from 0
---@param data string
---@return true ok
function Segment:write(offset, data) end

--- Its size as the kernel knows it, attached or not; `#segment` is the same, and raises where this fails.
---@return integer? bytes, string? message, string? code "EIDRM", "EACCES"
function Segment:size() end

--- What the kernel knows about it. -- see shmctl(2) IPC_STAT
---@return lipc.sysv.shm.stat? stat, string? message, string? code "EIDRM", "EACCES"
function Segment:stat() end

---@class lipc.sysv.shm.stat : lipc.sysv.stat
---@field size integer bytes
---@field nattch integer how often it is attached
---@field cpid integer process id of who made it
---@field lpid integer of the last who attached or detached
---@field atime integer
---@field dtime integer
---@field dest boolean removed: goes with the last who detaches
---@field locked boolean is not swapped out

---@class lipc.sysv.shm.set_options
---@field uid? integer
---@field gid? integer
---@field mode? integer|string permission bits, an octal string such as "0640" or a number

--- Changes owner and mode; what is not given stays. -- see shmctl(2) IPC_SET
---@param values lipc.sysv.shm.set_options
---@return true? ok, string? message, string? code "EPERM", "EIDRM", "EACCES"
function Segment:set(values) end

--- Its key is free at once, its memory when the last has detached; this object stays as it is, and a second remove is
--- true while somebody is attached. -- see shmctl(2) IPC_RMID
---@return true? ok, string? message, string? code "EPERM", "EIDRM"
function Segment:remove() end

--- The kernel's number of it.
---@return integer id
function Segment:id() end

--- Its key; 0: private.
---@return integer key
function Segment:key() end
