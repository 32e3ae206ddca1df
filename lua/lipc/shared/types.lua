-- Internal to lipc.shared: what elements are, as bytes that lie beside them in shared memory, so that whoever
-- opens them by name finds out, or that they are what was expected.
local view = require("lipc.core").view()

local types = {}

local sizes = { i8 = 1, u8 = 1, i16 = 2, u16 = 2, i32 = 4, u32 = 4, i64 = 8, u64 = 8, f32 = 4, f64 = 8, bytes = 1 }
local strings = { bytes = true, char = true } -- of fields: their size says how long

local MAXDEPTH = 16 -- as of layouts

-- A record: its size and alignment, then each field.
local function encode(layout)
  local fields = layout:fields()
  local parts = { ("<I8I4I4"):pack(layout:size(), layout:align(), #fields) }
  for _, f in ipairs(fields) do
    local inner = type(f.type) ~= "string"
    parts[#parts + 1] = ("<s2I8I8I8s1"):pack(f.name, f.offset, f.size, f.count or 0, inner and "" or f.type)
    if inner then parts[#parts + 1] = encode(f.type) end
  end
  return table.concat(parts)
end

-- The other way; raises when it is nothing that encode makes.  Rows of rows have lost what they were.
local function decode(s, at, depth)
  local size, align, n = ("<I8I4I4"):unpack(s, at)
  local list = { size = size, align = align }
  assert(depth < MAXDEPTH and n <= #s)
  at = at + 16
  for i = 1, n do
    local name, offset, bytes, count, kind
    name, offset, bytes, count, kind, at = ("<s2I8I8I8s1"):unpack(s, at)
    if kind == "" then kind, at = decode(s, at, depth + 1) end
    if strings[kind] then
      count = count > 0 and { count, bytes // count } or bytes
    elseif count == 0 then
      count = nil
    end
    list[i] = { name, kind, count, offset = offset }
  end
  return view.layout(list), at
end

-- types.of(type or layout) -> bytes, size of one; nil: there is no such type
function types.of(kind)
  if type(kind) == "string" then return sizes[kind] and kind, sizes[kind] end
  return "{" .. encode(kind), kind:size()
end

-- types.read(bytes) -> type or layout, size of one; nil: these say nothing that can be understood
function types.read(bytes)
  if sizes[bytes] then return bytes, sizes[bytes] end
  if bytes:sub(1, 1) ~= "{" then return nil end
  local ok, layout, at = pcall(decode, bytes, 2, 0)
  if layout == "not enough memory" then error(layout, 0) end
  if ok and at == #bytes + 1 and encode(layout) == bytes:sub(2) then return layout, layout:size() end
  return nil
end

return types
