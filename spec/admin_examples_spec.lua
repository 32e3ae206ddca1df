-- The example of ipc.admin, run as a reader would run it.
local admin = require "support.admin"
local peer = require "support.peer"

describe("the example admin_list", function()
  admin.watch { after_each = after_each }

  it("lists, says what would go, and removes it", function()
    local name, path = admin.shm(("x"):rep(4711))
    local pattern = admin.exactly(name)
    assert.matches("^KIND [^\n]+\nshm +%S+ +%d+ +4711 +%d+s +%-%?? +" .. pattern:sub(2, -2) .. "\n$", peer.shown("admin_list", pattern))
    local message = "stays     " .. name .. ": last changed %d+ seconds ago, which is less than 86400\n"
    for _, action in ipairs { "--dry", "--clean" } do
      assert.matches("^" .. message:gsub("%-", "%%-") .. "$", peer.shown("admin_list", action, pattern))
    end
    assert(io.open(path)):close()
  end)

  it("removes a segment whose maker is gone", function()
    local p = peer.sh "ipcmk -M 100"
    local id = p:read "a":match ": (%d+)"
    p:close()
    admin.at_end(function() os.execute("ipcrm -m " .. id .. " 2>/dev/null") end)
    local key
    for _, e in ipairs(require "lipc".admin.list { kind = "sysv.shm" }) do
      if e.id == tonumber(id) then key = e.name end
    end
    local out = peer.example("admin_list", "--dry", key)
    assert.equal("would go  " .. key .. "\n", out)
    out = peer.example("admin_list", "--clean", key)
    assert.equal("removed   " .. key .. "\n", out)
    assert.equal("", (peer.example("admin_list", "--clean", key)))
  end)
end)
