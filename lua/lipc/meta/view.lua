---@meta lipc.view

--- Typed windows on mapped memory: numbers, strings and records that other processes see and change. A view is made by the
--- method `view` of whatever maps memory (`ipc.shm`, `ipc.mmap`, `ipc.sysv.shm` ...): `local v = map:view("i32")`; then `v[1]
--- = 5`.
---
--- Elements count from 1, byte offsets from 0. Each access is checked against the mapping as it is at that moment, never
--- against a number that lies in it: a number that is not the index of an element raises, as does any access when the mapping has been
--- closed, has become too small for all of the view (`#v` stays what it was; a `slice` of what is left can be taken), or was cut
--- off by another process, and writing where it is read-only. Reading by a string looks up a method, so that `v["1"]` and `v.x`
--- are nil; writing by one raises. A view keeps its mapping alive, costs about as much as a small table, and has nothing to close.
---
--- Types: i8 u8 i16 u16 i32 u32 i64 u64 f32 f64, in the machine's byte order, and "bytes", which is u8. A value that the type
--- cannot have raises and nothing is stored: an integer out of range (it is not wrapped), a number with a fraction for an
--- integer (2.0 is 2), a numeral in a string. u64 has the 64 bits of a Lua integer: 2^64-1 reads as -1 and -1 writes it, as
--- string.pack "I8" has it (math.ult compares such numbers). f32 rounds to the nearest that it has; what would become
--- infinite is out of range. NaN and the infinities are values like any other.
---
--- `v[i]`, `get`, `set` and `totable` make one load or store of the element's width where it is aligned: half of it is never
--- seen, and no compiler leaves it out; but no order either between elements: that is what the atomic methods are for.
--- Elements may lie unaligned, and then, as in `string`, `setstring` and `copy`, another process may see a part of the
--- change.
---@class lipc.view.module
---@field CACHELINE integer bytes that "cacheline" stands for in layouts: 64, everywhere, so that all who share a layout agree
local view = {}

---@alias lipc.view.type
---| "i8" | "u8" | "i16" | "u16" | "i32" | "u32" | "i64" | "u64"
---| "f32" | "f64"
---| "bytes"

--- A view of a mapping: what `map:view(type, offset, count)` calls.
---@param map lipc.mapping
---@param type lipc.view.type|lipc.view.layout
---@param offset? integer bytes, default 0; it need not be aligned
---@param count? integer elements, default as many as are whole up to the end
---@return lipc.view view
function view.of(map, type, offset, count) end

--- Describes records: their fields in order, each `{name, type[, count]}`, placed as a C compiler places the members of a struct
--- with the same types, so that C programs may share them:
---
---     local point = ipc.view.layout { { "id", "u32" }, { "pos", "f64", 3 }, { "name", "char", 16 } }
---     local points = map:view(point, 0, 100)
---     points[7].pos[1] = 0.5              points[7] = { id = 7, name = "seven" }
---
--- Field types are those of views, another layout, and two kinds of strings, whose count is their size in bytes: "bytes",
--- filled up with zeros and read without the zeros at its end; "char", as C has it: text up to the first zero (a string with
--- a zero in it is refused; one that fills the field has none). A longer string raises. A count makes an array (of strings,
--- with one count more: `{"tags", "bytes", {4, 16}}` are four of 16 bytes); `{2, 3}` makes rows: 2 rows of 3.
---@param fields lipc.view.layout_options the fields as its list, options as its names
---@return lipc.view.layout layout
function view.layout(fields) end

---@class lipc.view.layout_options
---@field [integer] lipc.view.field_options
---@field packed? boolean no gaps: fields follow each other unaligned, but for those that say `align` or `pad`
---@field align? integer a power of two: records begin at multiples of it, if the offset given to `view` is one
---@field size? integer bytes of a record, when there is more than the fields need
---@field pad? integer|"cacheline" a power of two: align to it and fill up to it, so that no two records share a cache line

---@class lipc.view.field_options
---@field [1] string name
---@field [2] lipc.view.type|"char"|lipc.view.layout
---@field [3] integer|integer[]|nil count
---@field align? integer a power of two, when more than the type's
---@field offset? integer bytes from the record's beginning; fields may overlap, as in a union
---@field pad? integer|"cacheline" a power of two: the field and what follows begin at multiples of it, so that who writes to one does not slow others down

--- How records lie in memory. It never changes, and may be used for any number of views and other layouts.
---@class lipc.view.layout
local Layout = {}

--- Bytes from one record to the next.
---@return integer bytes
function Layout:size() end

--- What a record's offset should be a multiple of.
---@return integer bytes
function Layout:align() end

--- Where a field begins, in bytes from the beginning of the record. A name that no field has raises.
---@param name string
---@return integer offset
function Layout:offset(name) end

--- All fields, in order.
---@return lipc.view.field[] fields
function Layout:fields() end

---@class lipc.view.field
---@field name string
---@field type lipc.view.type|"char"|"array"|lipc.view.layout "array": rows
---@field offset integer bytes
---@field size integer bytes, of all of it
---@field count integer? of arrays: how many

--- An element of a view of records: it shows and changes that place in memory, field by field: `r.x`, `r.x = 5`. A field that
--- is an array is a view; one that is a record is a record; all that has a value may be given one: to an array a list, to a
--- record a table, as for `set`. Names are fields only, another one raises; `pairs(r)` goes through them in order.
---@class lipc.view.record
---@field [string] any

--- A view. `v[i]` reads element i and `v[i] = x` writes it, `#v` is their number, `pairs(v)` goes through all.
---
--- What an element of a record is: `v[i]` is a `lipc.view.record` that shows it; `get` and `totable` copy it into a table;
--- `set` and `v[i] = t` take such a table (or a record of the same layout). Fields that the table does not name stay as they
--- are, as does the rest of an array when the list is shorter; a name that no field has raises. For loops that go through one
--- field of many records take `v:field(name)`.
---@class lipc.view
---@field [integer] any
---@operator len: integer
local View = {}

--- Element i, or those from i to j (none when j is i - 1). A record, or an array of it, is copied into a table.
---@param i integer
---@param j? integer default i
---@return any ... values
function View:get(i, j) end

--- Elements from i on: these values, or those of a list (a table, by index up to its length). When one does not fit the call
--- raises; those before it are stored then. Records are tables: one, several, or one list of them.
---@param i integer
---@param ... any values, or one list
---@return lipc.view self
function View:set(i, ...) end

--- A table of the elements from i to j.
---@param i? integer default 1
---@param j? integer default the last
---@return table list
function View:totable(i, j) end

--- The same value in all elements from i to j.
---@param value any
---@param i? integer default 1
---@param j? integer default the last
---@return lipc.view self
function View:fill(value, i, j) end

--- The bytes of the elements from i to j, as they are in memory: for string.unpack, files and sockets.
---@param i? integer default 1
---@param j? integer default the last
---@return string bytes
function View:string(i, j) end

--- The bytes of a string into the elements from i on, of which they must be a whole number.
---@param i integer
---@param bytes string
---@return lipc.view self
function View:setstring(i, bytes) end

--- Elements j to k of another view, or of this one, to element i and those behind it. Between views of one type it copies
--- memory, whatever the overlap; else numbers are converted, and one that the type cannot have raises (those before it are
--- stored then).
---@param i integer
---@param source lipc.view
---@param j? integer default 1
---@param k? integer default the last of the source
---@return lipc.view self
function View:copy(i, source, j, k) end

--- Whether both have as many elements, each equal to the other's, as `==` says it: 2 and 2.0 are equal, NaN is not. u64 is
--- without a sign against u64 only.
---@param other lipc.view
---@return boolean
function View:equal(other) end

--- Which of the two comes first: the first elements that differ decide, else the length.
---@param other lipc.view
---@return -1|0|1|nil order nil: a NaN has no order
---@return integer? index of the first difference
function View:compare(other) end

--- The first element, from init on, that equals the value. In views of bytes and u8 the value may also be a string, found as
--- string.find finds plain text: its first and last byte.
---@param value number|string
---@param init? integer default 1
---@return integer? first nil: there is none
---@return integer? last of a string
function View:find(value, init) end

--- A view of the elements from i to j, which counts them from 1.
---@param i integer
---@param j? integer default the last
---@return lipc.view part
function View:slice(i, j) end

--- `for i, x in v:ipairs() do`: all elements. (The function ipairs does not know where a view ends; pairs does.)
---@return fun(v: lipc.view, i: integer): integer?, any iterator
---@return lipc.view self
---@return integer zero
function View:ipairs() end

--- One field of all records, as a view with as many elements: `points:field("id")[7]` is `points[7].id`, at a third of its
--- price. Of an array, with i, its element i; without, each element is the array. `points:field("inner"):field("x")` goes on.
---@param name string
---@param i? integer of an array
---@return lipc.view view
function View:field(name, i) end

--- What its elements are.
---@return lipc.view.type|"char"|"array"|lipc.view.layout
function View:type() end

--- Where element i begins, in bytes from the beginning of the mapping.
---@param i? integer default 1
---@return integer bytes
function View:offset(i) end

--- Bytes from one element to the next; more than `itemsize` in the view of a field.
---@return integer bytes
function View:stride() end

--- Bytes of an element.
---@return integer bytes
function View:itemsize() end

--- The object whose memory it shows.
---@return lipc.mapping map
function View:map() end

--- How far an atomic operation orders what stands before and after it in the program, as in C11. "relaxed": not at all;
--- "acquire": nothing behind it moves before it, so that whoever reads a flag so sees what its writer had stored before;
--- "release": nothing before it moves behind; "acq_rel": both; "seq_cst", the default: both, and all such operations have one
--- order that everybody sees. Leave it out unless you have measured.
---@alias lipc.view.order "relaxed"|"acquire"|"release"|"acq_rel"|"seq_cst"

--- Reads an aligned element of i32, u32, i64 or u64 atomically, as all methods below: other types, or an element that is not
--- aligned, raise.
---@param i integer
---@param order? "relaxed"|"acquire"|"seq_cst"
---@return integer value
function View:load(i, order) end

--- Writes it. Returns nothing.
---@param i integer
---@param x integer
---@param order? "relaxed"|"release"|"seq_cst"
function View:store(i, x, order) end

--- Adds. At the end of the type's range it wraps around, in two's complement: 2147483647 plus 1 is -2147483648 in i32,
--- 4294967295 plus 1 is 0 in u32. x may be negative for unsigned types, too. (Orders are checked; whatever it is, operations
--- that read and write are done as "seq_cst", which is at least what was asked for and costs the same on most machines.)
---@param i integer
---@param x integer
---@param order? lipc.view.order
---@return integer previous
function View:add(i, x, order) end

--- Subtracts, in the same way.
---@param i integer
---@param x integer
---@param order? lipc.view.order
---@return integer previous
function View:sub(i, x, order) end

--- Stores x and says what was there.
---@param i integer
---@param x integer
---@param order? lipc.view.order
---@return integer previous
function View:exchange(i, x, order) end

--- Compare and swap: stores desired if the element is as expected.
---@param i integer
---@param expected integer
---@param desired integer
---@param order? lipc.view.order
---@return boolean stored, integer previous
function View:cas(i, expected, desired, order) end

--- Bitwise and: leaves the bits that x has too. The bits count: 0xffffffff may be given for i32, -1 for u32.
---@param i integer
---@param x integer
---@param order? lipc.view.order
---@return integer previous
function View:band(i, x, order) end

--- Bitwise or: sets the bits of x.
---@param i integer
---@param x integer
---@param order? lipc.view.order
---@return integer previous
function View:bor(i, x, order) end

--- Bitwise exclusive or: turns the bits of x over.
---@param i integer
---@param x integer
---@param order? lipc.view.order
---@return integer previous
function View:bxor(i, x, order) end

--- Waits until an element of i32 or u32 is no longer as expected, and says what it is then; at once if it is not. Whoever
--- changes it must call `wake`; a wake-up without a change is not noticed. Outside of a scheduler the thread sleeps in the
--- kernel; a coroutine under one looks again after pauses of at most 10 ms, beside the others. Mapping closed meanwhile:
--- "ECANCELED". -- see futex(2) FUTEX_WAIT
---@param i integer
---@param expected integer
---@param timeout? number seconds, default for ever; 0 looks once
---@return integer? value, string? message, string? code "ETIMEDOUT", "ECANCELED", "EFAULT"
function View:wait(i, expected, timeout) end

--- Wakes those who wait in the kernel for the element, in any process that maps it shared. -- see futex(2) FUTEX_WAKE
---@param i integer
---@param n? integer how many at most, default all
---@return integer woken 0 also where only coroutines wait
function View:wake(i, n) end
