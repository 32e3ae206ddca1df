# The Python side of bench/pool.lua: multiprocessing.Pool with its defaults; milliseconds.
#   peer_pool.py whole|again N
import statistics
import sys
import time
from multiprocessing import Pool


def trivial(x):
    return x + 1


def main():
    what, n = sys.argv[1], int(sys.argv[2])
    items = list(range(1, n + 1))
    times = []
    pool = None
    for i in range(6):
        t = time.perf_counter()
        if what == "whole":
            with Pool() as p:
                r = p.map(trivial, items)
        else:
            pool = pool or Pool()
            r = pool.map(trivial, items)
        if i > 0:
            times.append((time.perf_counter() - t) * 1e3)
        assert r == [i + 1 for i in items]
    print("%.2f" % statistics.median(times))


main()
