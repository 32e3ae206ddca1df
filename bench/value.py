# Python's side of bench/shared.lua: nanoseconds for each locked increment of a multiprocessing.Value.
import multiprocessing
import sys
import time

count = int(sys.argv[1])
value = multiprocessing.Value("q", 0)
started = time.monotonic()
for _ in range(count):
    with value.get_lock():
        value.value += 1
print("%.1f" % ((time.monotonic() - started) / count * 1e9))
assert value.value == count
