--- ipc.admin: what there is of named objects, who uses them, and what of it can go.
local ipc = require "lipc"
local core = require("lipc.core").admin()

local admin = {}

local KINDS = { "shm", "semaphore", "mqueue", "sysv.msg", "sysv.shm", "sysv.sem", "socket", "fifo" }
local RANK = {}
for i, kind in ipairs(KINDS) do RANK[kind] = i end

local A_DAY = 86400

-- By so many seconds a process may begin after what it made: System V times are whole seconds.
local SLACK = 2

---- options -------------------------------------------------------------------------------------

local LIST = { kind = true, name = "string", all = "boolean", users = "boolean", dirs = "table" }
local REMOVE = {
  kind = true, name = "string", all = "boolean", dirs = "table",
  entries = "table", age = "number", force = "boolean", dry = "boolean",
}

-- level: of the function that the user called, seen from the caller
local function misuse(fname, level, fmt, ...)
  error(("bad argument #1 to '%s' (%s)"):format(fname, fmt:format(...)), level + 1)
end

local function kinds_of(fname, kind)
  local set = {}
  if kind == nil then kind = KINDS end
  if type(kind) == "string" then kind = { kind } end
  if type(kind) ~= "table" then misuse(fname, 4, "option 'kind': string or table expected, got %s", type(kind)) end
  for _, k in ipairs(kind) do
    if not RANK[k] then misuse(fname, 4, "option 'kind': invalid kind '%s'", tostring(k)) end
    set[k] = true
  end
  return set
end

local function options(fname, given, known)
  if type(given) ~= "table" then misuse(fname, 3, "table expected, got %s", given == nil and "no value" or type(given)) end
  local opts = {}
  for key, value in pairs(given) do
    local want = known[key]
    if not want then misuse(fname, 3, "unknown option '%s'", tostring(key)) end
    if want ~= true and type(value) ~= want then
      misuse(fname, 3, "option '%s': %s expected, got %s", key, want, type(value))
    end
    opts[key] = value
  end
  opts.kinds = kinds_of(fname, opts.kind)
  if opts.name and not pcall(string.find, "", opts.name) then misuse(fname, 3, "option 'name': malformed pattern") end
  local age = opts.age or 0
  if age < 0 or age ~= age then misuse(fname, 3, "option 'age': must not be %s", age < 0 and "negative" or "NaN") end
  for _, path in ipairs(opts.dirs or {}) do
    if type(path) ~= "string" or path == "" or path:find "\0" then
      misuse(fname, 3, "option 'dirs': a path expected, got %s", type(path) == "string" and "a bad one" or type(path))
    end
  end
  for i, e in ipairs(opts.entries or {}) do
    if type(e) ~= "table" or type(e.identity) ~= "string" or type(e.name) ~= "string" or not RANK[e.kind] then
      misuse(fname, 3, "option 'entries': no entry of admin.list at %d", i)
    end
  end
  return opts
end

---- what there is -------------------------------------------------------------------------------

-- The sum of a search: entries, and why something of a kind could not be seen.
local function new_search(opts)
  local uid, now, semsize = core.self()
  return { opts = opts, uid = uid, now = now, semsize = semsize, entries = {}, unseen = {}, seen = {} }
end

local function add(s, e)
  if not s.opts.kinds[e.kind] then return end
  if not (s.opts.all or e.uid == s.uid) then return end
  if s.opts.name and not e.name:find(s.opts.name) then return end
  s.entries[#s.entries + 1] = e
end

local function missed(s, kind, message, code)
  if s.opts.kinds[kind] and not s.unseen[kind] then s.unseen[kind] = { message, code } end
end

local function since(s, time) return math.max(0, s.now - time) end

-- An entry from what the system says of a file; where: the arguments of core that lead to its place.
local function from_file(s, kind, name, file, where)
  return {
    kind = kind, name = name, owner = file.owner, uid = file.uid, gid = file.gid, mode = file.mode, size = file.size,
    dev = file.dev, ino = file.ino, identity = file.identity, bound = file.bound,
    age = since(s, file.born or file.changed), idle = since(s, math.max(file.changed, file.born or 0)),
    creator = "unknown", where = where, file = file.name,
  }
end

local function search_shm(s)
  local list, message, code = core.named "shm"
  for _, file in ipairs(list or {}) do
    if file.type == "file" then
      local semaphore = file.name:match "^sem%.(.+)" and file.size >= s.semsize
      local name = "/" .. (semaphore and file.name:sub(5) or file.name)
      add(s, from_file(s, semaphore and "semaphore" or "shm", name, file, { "shm" }))
    end
  end
  if list then return end
  missed(s, "shm", message, code)
  missed(s, "semaphore", message, code)
end

local function search_mqueue(s)
  local list, message, code = core.named "mqueue"
  if not list then return missed(s, "mqueue", message, code) end
  for _, file in ipairs(list) do
    if file.type == "file" then
      local e = from_file(s, "mqueue", "/" .. file.name, file, { "mqueue" })
      e.curmsgs = file.size and file.curmsgs
      add(s, e)
    end
  end
end

-- A directory that nobody has made has nothing in it.
local function search_dir(s, path, uid, must)
  if s.seen[path] then return end
  s.seen[path] = true
  local list, message, code = core.named("dir", path, uid)
  for _, file in ipairs(list or {}) do
    if file.type == "socket" or file.type == "fifo" then
      file.size = nil
      local e = from_file(s, file.type, path .. "/" .. file.name, file, { "dir", path, uid })
      if file.type == "socket" then e.creator = file.bound and "alive" or "gone" end
      add(s, e)
    end
  end
  if list or (code == "ENOENT" and not must) then return end
  missed(s, "socket", message, code)
  missed(s, "fifo", message, code)
end

-- The rendezvous directories: this user's, or everybody's.
local function search_dirs(s)
  local base = os.getenv "XDG_RUNTIME_DIR"
  if base and base:find "^/" then search_dir(s, base .. "/lipc", s.uid) end
  search_dir(s, ("/tmp/lipc-%d"):format(s.uid), s.uid)
  for _, path in ipairs(s.opts.dirs or {}) do search_dir(s, #path > 1 and path:gsub("/+$", "") or path, nil, true) end
  if not s.opts.all then return end
  for _, at in ipairs { { "/tmp", "^lipc%-(%d+)$", "" }, { "/run/user", "^(%d+)$", "/lipc" } } do
    for _, file in ipairs(core.named("dir", at[1]) or {}) do
      local uid = file.type == "directory" and math.tointeger(tonumber(file.name:match(at[2])))
      if uid then search_dir(s, ("%s/%s%s"):format(at[1], file.name, at[3]), uid) end
    end
  end
end

-- Whether the process that had this number at that time lives; false too for one that has got it since.
local function lives(s, pid, time)
  local age = pid > 0 and core.procage(pid)
  return age and s.now - age <= time + SLACK
end

local last = { -- the processes that the system still knows to have used it, with the times
  ["sysv.msg"] = function(row) return { row.lspid, row.stime, row.lrpid, row.rtime } end,
  ["sysv.shm"] = function(row) return { row.cpid, row.ctime } end,
  ["sysv.sem"] = function() return {} end, -- asked for later: a call for each semaphore
}

local function sysv_identity(row) return ("%d:%d:%d:%d"):format(row.id, row.key, row.cuid, row.ctime) end

local function search_sysv(s, which)
  local kind = "sysv." .. which
  if not s.opts.kinds[kind] then return end
  local list, message, code = ipc.sysv.list(which)
  if not list then return missed(s, kind, message, code) end
  for _, row in ipairs(list) do
    local used = math.max(row.ctime, row.stime or 0, row.rtime or 0, row.atime or 0, row.dtime or 0, row.otime or 0)
    local e = {
      kind = kind, name = ("0x%08x"):format(row.key & 0xffffffff), key = row.key, id = row.id,
      owner = row.owner, uid = row.uid, gid = row.gid, mode = row.mode, size = row.size or row.cbytes,
      nattch = row.nattch, qnum = row.qnum, nsems = row.nsems, identity = sysv_identity(row),
      age = since(s, row.ctime), idle = since(s, used), creator = "unknown", last = last[kind](row),
      set_at = math.max(row.ctime, row.otime or 0),
    }
    if which == "shm" and row.cpid > 0 then
      e.pid = row.cpid
      e.creator = lives(s, row.cpid, row.ctime) and "alive" or "gone"
    end
    add(s, e)
  end
end

local function search(opts)
  local s = new_search(opts)
  if opts.kinds.shm or opts.kinds.semaphore then search_shm(s) end
  if opts.kinds.mqueue then search_mqueue(s) end
  for _, which in ipairs { "msg", "shm", "sem" } do search_sysv(s, which) end
  if opts.kinds.socket or opts.kinds.fifo then search_dirs(s) end
  table.sort(s.entries, function(a, b)
    if a.kind ~= b.kind then return RANK[a.kind] < RANK[b.kind] end
    if a.name ~= b.name then return a.name < b.name end
    return (a.id or 0) < (b.id or 0)
  end)
  return s
end

---- who uses it ---------------------------------------------------------------------------------

-- The inodes of the sockets that are bound to a path: the listener, and the connections it has accepted.
local function bound_sockets()
  local inodes = {}
  for inode, path in (core.unixsockets() or ""):gmatch " +(%d+) (/[^\n]*)" do
    local list = inodes[path] or {}
    inodes[path] = list
    list[#list + 1] = math.tointeger(inode)
  end
  return inodes
end

local function insert_pid(list, pid)
  for _, p in ipairs(list) do
    if p == pid then return end
  end
  list[#list + 1] = pid
end

-- A set tells who did the last operation on each semaphore, and how many wait.
local function ask_set(e)
  local set <close> = ipc.sysv.sem.fromid(e.id)
  if not set or not set:stat() then
    e.partial = true
    return
  end
  e.waiting, e.last = 0, {}
  for i = 1, set:nsems() do
    local pid, more, zero = set:getpid(i), set:getncnt(i), set:getzcnt(i)
    if not (pid and more and zero) then
      e.partial = true
      return
    end
    e.waiting = e.waiting + more + zero
    if pid > 0 then table.move({ pid, e.set_at }, 1, 2, #e.last + 1, e.last) end
  end
end

local function ask_users(s)
  local wanted, of, sockets = {}, {}, nil
  local function want(e, what, ino)
    wanted[#wanted + 1] = { what = what, dev = e.dev or 0, ino = ino }
    of[#of + 1] = e
  end
  for _, e in ipairs(s.entries) do
    e.users = {}
    if e.kind == "socket" then
      sockets = sockets or bound_sockets()
      for _, ino in ipairs(sockets[e.name] or {}) do want(e, "socket", ino) end
    elseif e.kind == "sysv.shm" then
      want(e, "segment", e.id)
    elseif e.dev then
      want(e, "file", e.ino)
    end
  end
  local own_fd, other_fd, own_map, other_map = 0, 0, 0, 0
  if #wanted > 0 then
    local found, a, b, c, d = core.users(wanted)
    if not found then return nil, a, b end
    own_fd, other_fd, own_map, other_map = a, b, c, d
    for i, pids in ipairs(found) do
      for _, pid in ipairs(pids) do insert_pid(of[i].users, pid) end
    end
  end
  for _, e in ipairs(s.entries) do
    if e.kind == "sysv.sem" then ask_set(e) end
    if e.kind == "sysv.msg" or e.kind == "sysv.sem" then
      for i = 1, #e.last, 2 do
        if lives(s, e.last[i], e.last[i + 1]) then insert_pid(e.users, e.last[i]) end
      end
      e.partial = true -- to use one a process needs nothing but its number
    elseif e.kind == "sysv.shm" then
      e.partial = #e.users == 0 and e.nattch > 0 or (own_map + other_map > 0 and #e.users < e.nattch) or nil
    elseif e.kind == "socket" then
      e.partial = e.bound and #e.users == 0 or nil
    else -- of others' processes only root's can have what is this user's alone
      local own, others = own_fd, other_fd
      if e.kind ~= "fifo" then own, others = own + own_map, others + other_map end
      e.partial = own > 0 or (others > 0 and e.mode & 63 ~= 0) or nil
    end
    table.sort(e.users)
  end
  return true
end

---- the functions -------------------------------------------------------------------------------

-- An entry as the user sees it.
local function shown(e, more)
  local copy = {}
  for key, value in pairs(e) do copy[key] = value end
  copy.last, copy.where, copy.file, copy.set_at = nil, nil, nil, nil
  for key, value in pairs(more or {}) do copy[key] = value end
  return copy
end

local function failed(s)
  local n, unseen, first = 0, nil, nil
  for kind in pairs(s.opts.kinds) do
    n = n + 1
    if s.unseen[kind] then
      unseen = unseen or {}
      unseen[kind] = s.unseen[kind][1]
      first = s.unseen[kind]
      n = n - 1
    end
  end
  if n == 0 and first and #s.entries == 0 then return nil, first[1], first[2] end
  return true, unseen
end

function admin.list(given)
  local opts = options("list", given == nil and {} or given, LIST)
  local s = search(opts)
  local ok, unseen, code = failed(s)
  if not ok then return nil, unseen, code end
  if opts.users then
    local message
    ok, message, code = ask_users(s)
    if not ok then return nil, message, code end
  end
  for i, e in ipairs(s.entries) do s.entries[i] = shown(e) end
  return s.entries, unseen
end

-- Why an entry should stay, as far as that can be told before its removal: reason, message.
local function objection(e, opts)
  if opts.force then return end
  if e.bound then return "open", "somebody is bound to it" end
  if #e.users > 0 then return "open", ("process %d uses it"):format(e.users[1]) end
  if (e.nattch or 0) > 0 then return "open", ("it is attached %d times"):format(e.nattch) end
  if (e.waiting or 0) > 0 then return "open", ("%d wait for it"):format(e.waiting) end
  if e.creator == "alive" then return "creator", ("process %d, which made it, lives"):format(e.pid) end
  if e.kind == "sysv.msg" and e.last[1] == 0 and e.last[3] == 0 then
    return "unknown", "nobody has used it yet, and a process that waits for its first message does not show"
  end
  if e.kind == "sysv.sem" and not e.waiting then return "unknown", "no right to ask who waits" end
  if e.kind == "fifo" and e.partial then return "unknown", "not all processes can be looked into" end
  local least = opts.age or (e.creator == "gone" and 0 or A_DAY)
  if e.idle < least then return "age", ("last changed %.0f seconds ago, which is less than %.0f"):format(e.idle, least) end
end

local refusals = {
  EBUSY = { "open", "a process has it open" },
  ESTALE = { "changed", "another object has its name" },
  EIDRM = { "changed", "it is gone" },
  EINVAL = { "changed", "it is gone" },
  EPROTONOSUPPORT = { "unknown", "not all processes can be looked into" },
}

local function remove_sysv(e, opts)
  local o <close>, message, code = ipc.sysv[e.kind:sub(6)].fromid(e.id)
  if not o then return nil, message, code end
  local stat
  stat, message, code = o:stat()
  if not stat then return nil, message, code end
  if sysv_identity(stat) ~= e.identity then return nil, "", "ESTALE" end
  if not opts.force and (stat.nattch or 0) > 0 then return nil, "", "EBUSY" end
  if opts.dry then return true end
  return o:remove()
end

local function remove_file(e, opts)
  local how = (e.partial and "a" or "") .. (opts.force and "f" or "") .. (opts.dry and "d" or "")
  local done, message, code = core.remove(e.where[1], e.where[2], e.where[3], e.file, e.identity, how)
  if done then return true end
  -- the file's name is not always that of the object
  return nil, "admin.remove " .. e.name .. message:sub(#"admin.remove " + #e.file + 1), code
end

-- Restricts the search to where the user's entries were found.
local function narrow(opts)
  local kinds, dirs = {}, table.move(opts.dirs or {}, 1, #(opts.dirs or {}), 1, {})
  for _, e in ipairs(opts.entries) do
    kinds[e.kind] = opts.kinds[e.kind]
    if e.kind == "socket" or e.kind == "fifo" then dirs[#dirs + 1] = e.name:match "^(/.*)/" end
  end
  opts.kinds, opts.dirs = kinds, dirs
end

-- Those of the search that are the user's entries; of the others it is said why they are not.
local function pick(s, opts, kept)
  local found, picked = {}, {}
  for _, e in ipairs(s.entries) do found[e.kind .. " " .. e.identity .. " " .. e.name] = e end
  for _, e in ipairs(opts.entries) do
    local now = found[e.kind .. " " .. e.identity .. " " .. e.name]
    if now then
      picked[#picked + 1] = now
    elseif opts.kinds[e.kind] and not (opts.name and not e.name:find(opts.name)) then
      local theirs = e.uid ~= s.uid and not opts.all
      kept[#kept + 1] = shown(e, {
        reason = theirs and "owner" or "changed",
        message = theirs and "it is another user's" or "it is gone, or another one has its name",
      })
    end
  end
  s.entries = picked
end

function admin.remove(given)
  local opts = options("remove", given, REMOVE)
  local removed, kept = {}, {}
  if opts.entries then narrow(opts) end
  local s = search(opts)
  local ok, unseen, code = failed(s)
  if not ok then return nil, unseen, code end
  if opts.entries then pick(s, opts, kept) end
  local message
  ok, message, code = ask_users(s)
  if not ok then return nil, message, code end
  for _, e in ipairs(s.entries) do
    local reason, why = objection(e, opts)
    if not reason then
      ok, message, code = (e.id and remove_sysv or remove_file)(e, opts)
      if not ok then
        local refusal = refusals[code] or { code, message }
        reason, why = refusal[1], refusal[2]
      end
    end
    if reason then kept[#kept + 1] = shown(e, { reason = reason, message = why })
    else removed[#removed + 1] = shown(e) end
  end
  return removed, kept
end

return admin
