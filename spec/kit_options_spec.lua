-- The option `mode`, which all that make something with permission bits read by one function.
local ipc = require "lipc"
local names = require "support.names"

-- Each makes something, says what mode it has got (as octal digits, umask or not), and removes it.
local function stat_mode(object)
  local mode = assert(object:stat()).mode
  object:close()
  return ("%04o"):format(mode)
end

local function path_mode(path, object)
  local p = assert(io.popen("stat -c %04a " .. path))
  local mode = p:read "l"
  p:close()
  if object then object:close() end
  os.remove(path)
  return mode
end

-- Objects of shared memory, semaphores: files of that name.
local function shm_mode(name, object)
  local mode = path_mode("/dev/shm/" .. name)
  object:close()
  return mode
end

local function key() return 0x4d000000 | math.random(0, 0xffffff) end

local makers = {
  ["shm.open"] = function(mode)
    return stat_mode(assert(ipc.shm.open("/" .. names.new(), { create = true, size = 1, unlink = true, mode = mode })))
  end,
  ["mmap.open"] = function(mode)
    local path = names.path()
    return path_mode(path, assert(ipc.mmap.open(path, { create = true, size = 1, mode = mode })))
  end,
  ["semaphore.open"] = function(mode)
    local name = names.new()
    return shm_mode("sem." .. name, assert(ipc.semaphore.open("/" .. name, { create = true, mode = mode })))
  end,
  ["semaphore.binary"] = function(mode)
    local name = names.new()
    return shm_mode("sem." .. name, assert(ipc.semaphore.binary("/" .. name, { create = true, mode = mode })))
  end,
  ["mqueue.open"] = function(mode)
    return stat_mode(assert(ipc.mqueue.open("/" .. names.new(), { create = true, unlink = true, maxmsg = 1, mode = mode })))
  end,
  ["fifo.open"] = function(mode)
    return stat_mode(assert(ipc.fifo.open(names.path(), "rw", { create = true, unlink = true, mode = mode })))
  end,
  ["fifo.make"] = function(mode)
    local path = names.path()
    assert(ipc.fifo.make(path, { mode = mode }))
    return path_mode(path)
  end,
  ["flock.open"] = function(mode)
    local path = names.path()
    return path_mode(path, assert(ipc.flock.open(path, { create = true, mode = mode })))
  end,
  ["flock.lockfile"] = function(mode)
    local path = names.path()
    return path_mode(path, assert(ipc.flock.lockfile(path, { mode = mode })))
  end,
  ["sysv.msg.open"] = function(mode) return stat_mode(assert(ipc.sysv.msg.open(key(), { create = true, unlink = true, mode = mode }))) end,
  ["sysv.shm.open"] = function(mode)
    return stat_mode(assert(ipc.sysv.shm.open(key(), { create = true, size = 1, unlink = true, mode = mode })))
  end,
  ["sysv.sem.open"] = function(mode) return stat_mode(assert(ipc.sysv.sem.open(key(), { create = true, unlink = true, mode = mode }))) end,
  ["sysv.msg:set"] = function(mode)
    local q <close> = assert(ipc.sysv.msg.open("private", { unlink = true }))
    assert(q:set { mode = mode })
    return ("%04o"):format(q:stat().mode)
  end,
  ["socket.listen"] = function(mode)
    local path = names.path()
    return path_mode(path, assert(ipc.socket.listen { path = path, mode = mode }))
  end,
  ["socket.datagram"] = function(mode)
    local path = names.path()
    return path_mode(path, assert(ipc.socket.datagram { path = path, mode = mode }))
  end,
  ["sync.mutex"] = function(mode)
    local name = names.new()
    return shm_mode(name, assert(ipc.sync.mutex("/" .. name, { create = true, mode = mode })))
  end,
  ["shared.value"] = function(mode)
    local name = names.new()
    return shm_mode(name, assert(ipc.shared.value("i64", 0, { name = "/" .. name, create = true, mode = mode })))
  end,
  ["shared.dict"] = function(mode)
    local name = names.new()
    return shm_mode(name, assert(ipc.shared.dict { capacity = 1, name = "/" .. name, create = true, mode = mode }))
  end,
  ["broker.new"] = function(mode)
    local path = names.path()
    local broker = assert(ipc.broker.new { path = path, mode = mode })
    assert(broker:listen())
    local found = path_mode(path)
    broker:close()
    return found
  end,
}

describe("option 'mode'", function()
  for what, make in pairs(makers) do
    it("of " .. what .. " is an octal string or an integer", function()
      for _, mode in ipairs { "600", "0600", "000600", 384 } do assert.equal("0600", make(mode), tostring(mode)) end
      assert.equal("0400", make "0400")
      assert.equal("0400", make(256))
      assert.equal("0700", make "0700")
    end)

    it("of " .. what .. " that is none is misuse, and the error shows how to write one", function()
      for _, bad in ipairs { "", "rw", "0800", "0o600", "-1", " 600", "600 ", "600\0", {}, true, 0.5 } do
        local ok, message = pcall(make, bad)
        assert.is_false(ok)
        assert.matches("bad argument #%d to '%a+' %(option 'mode': octal string such as \"0600\" or integer expected", message)
      end
      for _, bad in ipairs { what:find "^fifo" and 4096 or 666, -1, 1 << 40, "77777", "2000000000000000000000600" } do
        local ok, message = pcall(make, bad)
        assert.is_false(ok, tostring(bad))
        assert.matches("bad argument #%d to '%a+' %(option 'mode': ", message)
        assert.is_truthy(message:find('octal .*string.*"0%d*00"') and message:find '"[07]777"', message)
      end
    end)
  end

  it("is looked at where nothing is made, too", function()
    local name = "/" .. names.new()
    local there <close> = assert(ipc.shared.value("i64", 0, { name = name, create = true, unlink = true })) -- luacheck: ignore 211
    assert.error_matches(function() ipc.shared.value("i64", 0, { name = name, create = true, mode = 666 }) end,
      "#3 to 'value' %(option 'mode': 666 is out of range")
    assert.error_matches(function() ipc.shm.open(name, { mode = "rw" }) end, "option 'mode'")
  end)

  it("tells a number that should have been octal from what is no mode at all", function()
    local function said(mode)
      return (select(2, pcall(ipc.shm.open, "/x", { mode = mode }))):match "%((.*)%)$"
    end
    local range = [[ is out of range (octal digits are written as a string: "0000" to "0777")]]
    assert.equal("option 'mode': 666" .. range, said(666))
    assert.equal("option 'mode': \"1777\"" .. range, said "1777")
    assert.equal("option 'mode': octal string such as \"0600\" or integer expected, got \"rw\"", said "rw")
    assert.equal("option 'mode': octal string such as \"0600\" or integer expected, got table", said {})
    assert.matches('"0000" to "7777"', (select(2, pcall(ipc.fifo.make, "x", { mode = 4096 }))))
  end)
end)
