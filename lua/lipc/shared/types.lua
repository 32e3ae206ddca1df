-- Internal to lipc.shared: what elements are, as bytes that lie beside them in shared memory, so that whoever
-- opens them by name finds out, or that they are what was expected.
local view = require("lipc.core").view()

local types = {}

local sizes = { i8 = 1, u8 = 1, i16 = 2, u16 = 2, i32 = 4, u32 = 4, i64 = 8, u64 = 8, f32 = 4, f64 = 8, bytes = 1 }
types.EXPECTED = "expected i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, bytes, or a layout"
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

-- The other way, as tables; raises when it is nothing that encode makes.
local function decode(s, at, depth)
  local size, align, n = ("<I8I4I4"):unpack(s, at)
  local record = { size = size, align = align }
  assert(depth < MAXDEPTH and n <= #s)
  at = at + 16
  for i = 1, n do
    local f = {}
    f.name, f.offset, f.size, f.count, f.type, at = ("<s2I8I8I8s1"):unpack(s, at)
    if f.type == "" then f.type, at = decode(s, at, depth + 1) end
    record[i] = f
  end
  return record, at
end

-- The record that these bytes are, or nil.
local function record_of(bytes)
  if bytes:sub(1, 1) ~= "{" then return nil end
  local ok, record, at = pcall(decode, bytes, 2, 0)
  if record == "not enough memory" then error(record, 0) end
  return ok and at == #bytes + 1 and record or nil
end

-- The layout of it; raises when it is none.  Rows of rows have lost what they were.
local function layout_of(record)
  local list = { size = record.size, align = record.align }
  for i, f in ipairs(record) do
    local kind, count = f.type, f.count
    if type(kind) == "table" then kind = layout_of(kind) end
    if strings[kind] then
      count = count > 0 and { count, f.size // count } or f.size
    elseif count == 0 then
      count = nil
    end
    list[i] = { f.name, kind, count, offset = f.offset }
  end
  return view.layout(list)
end

-- types.of(type or layout) -> bytes, size of one; nil: there is no such type
function types.of(kind)
  if type(kind) == "string" then return sizes[kind] and kind, sizes[kind] end
  return "{" .. encode(kind), kind:size()
end

-- types.read(bytes) -> type or layout, size of one; nil: these say nothing that can be understood
function types.read(bytes)
  if sizes[bytes] then return bytes, sizes[bytes] end
  local record = record_of(bytes)
  if not record then return nil end
  local ok, layout = pcall(layout_of, record)
  if layout == "not enough memory" then error(layout, 0) end
  if ok and encode(layout) == bytes:sub(2) then return layout, layout:size() end
  return nil
end

local function name_of(kind) return type(kind) == "table" and "record" or kind end

-- What differs between two records, and its value in each.
local function compare(a, b, where)
  if #a ~= #b then return "number of fields" .. where, #a, #b end
  for i, x in ipairs(a) do
    local y = b[i]
    if x.name ~= y.name then return ("name of field %d%s"):format(i, where), x.name, y.name end
    local of = (" of field '%s'%s"):format(x.name, where)
    if type(x.type) == "table" and type(y.type) == "table" then
      local what, there, asked = compare(x.type, y.type, of)
      if what then return what, there, asked end
    elseif x.type ~= y.type then
      return "type" .. of, name_of(x.type), name_of(y.type)
    end
    for _, key in ipairs { "count", "size", "offset" } do
      if x[key] ~= y[key] then return key .. of, x[key], y[key] end
    end
  end
  for _, key in ipairs { "size", "align" } do
    if a[key] ~= b[key] then return key .. where, a[key], b[key] end
  end
end

-- types.differ(bytes, bytes) -> what, its value in the first, in the second; nil: the first say nothing that can be
-- understood
function types.differ(there, asked)
  local a, b = sizes[there] and there or record_of(there), sizes[asked] and asked or record_of(asked)
  if type(a) == "table" and type(b) == "table" then return compare(a, b, "") end
  if a then return "type", name_of(a), name_of(b) end
end

return types
