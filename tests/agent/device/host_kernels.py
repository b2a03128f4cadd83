"""The kernels of a card, compiled for this processor: the same text, run thread after thread."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path

import torch

_AROUND = r"""
#include <cmath>
#include <cstring>
#define __global__
#define __device__
struct Place { int x, y, z; };
static Place blockIdx, blockDim, threadIdx;
static double __longlong_as_double(long long b) { double v; std::memcpy(&v, &b, 8); return v; }
static long long __double_as_longlong(double v) { long long b; std::memcpy(&b, &v, 8); return b; }
@SOURCE@
extern "C" void all(int gx, int gy, int bx, const long long* a, const long long* b, const int* c, const double* d,
                    double* e, int f, int g) {
    blockDim.x = bx;
    for (blockIdx.y = 0; blockIdx.y < gy; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < gx; blockIdx.x++)
            for (threadIdx.x = 0; threadIdx.x < bx; threadIdx.x++) kernel(a, b, c, d, e, f, g);
}
"""


# Kernels whose threads wait for each other run as threads of their own, a few a block, which the text allows.
_TOGETHER = r"""
#include <cmath>
#include <cstring>
#include <pthread.h>
#define __global__
#define __device__
#define __shared__ static
struct Place { int x, y, z; };
static Place blockIdx, blockDim;
static thread_local Place threadIdx;
static pthread_barrier_t gate;
static void __syncthreads() { if (blockDim.x > 1) pthread_barrier_wait(&gate); }
static void __syncwarp() { __syncthreads(); }
static double __longlong_as_double(long long b) { double v; std::memcpy(&v, &b, 8); return v; }
@SOURCE@
static int gx, gy, rows, columns, extra;
static const long long* arrays;
static void* work(void* number) {
    threadIdx.x = (int)(long long)number;
    for (int y = 0; y < gy; y++)
        for (int x = 0; x < gx; x++) {
            __syncthreads();
            if (threadIdx.x == 0) { blockIdx.x = x; blockIdx.y = y; }
            __syncthreads();
            kernel(arrays, rows, columns, extra);
        }
    return nullptr;
}
extern "C" void all(int x, int y, int, const long long* places, int bars, int width, int more) {
    gx = x; gy = y; arrays = places; rows = bars; columns = width; extra = more;
    blockDim.x = @THREADS@;
    pthread_barrier_init(&gate, nullptr, blockDim.x);
    pthread_t threads[@THREADS@];
    for (long long k = 1; k < blockDim.x; k++) pthread_create(&threads[k], nullptr, work, (void*)k);
    work(nullptr);
    for (int k = 1; k < blockDim.x; k++) pthread_join(threads[k], nullptr);
    pthread_barrier_destroy(&gate);
}
"""


def host_compiler(folder: Path, program: str, threads: int = 1) -> Callable[[str], Callable[..., object]]:
    """Return a compiler of kernels that works in a folder with a C++ compiler.

    Blocks whose threads wait for each other have `threads` of them, a power of two.
    """
    number = count()

    def compiled(source: str) -> Callable[..., object]:
        file = folder / f"kernel{next(number)}.cpp"
        around = (_TOGETHER if "__shared__" in source else _AROUND).replace("@THREADS@", str(threads))
        file.write_text(around.replace("@SOURCE@", source))
        library = file.with_suffix(".so")
        # A newer language than the kernels need makes <cmath> four times as long to read.
        subprocess.run(
            [program, "-std=c++14", "-O0", "-pthread", "-shared", "-fPIC", "-o", str(library), str(file)], check=True
        )
        function = ctypes.CDLL(str(library)).all

        def launch(*, grid: tuple[int, int, int], block: tuple[int, int, int], args: list[object]) -> None:
            given = [ctypes.c_void_p(a.data_ptr()) if isinstance(a, torch.Tensor) else a for a in args]
            function(grid[0], grid[1], block[0], *given)

        return launch

    return compiled
