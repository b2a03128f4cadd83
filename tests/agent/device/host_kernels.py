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


def host_compiler(folder: Path, program: str) -> Callable[[str], Callable[..., object]]:
    """Return a compiler of kernels that works in a folder with a C++ compiler."""
    number = count()

    def compiled(source: str) -> Callable[..., object]:
        file = folder / f"kernel{next(number)}.cpp"
        file.write_text(_AROUND.replace("@SOURCE@", source))
        library = file.with_suffix(".so")
        subprocess.run([program, "-O0", "-shared", "-fPIC", "-o", str(library), str(file)], check=True)
        function = ctypes.CDLL(str(library)).all

        def launch(*, grid: tuple[int, int, int], block: tuple[int, int, int], args: list[object]) -> None:
            given = [ctypes.c_void_p(a.data_ptr()) if isinstance(a, torch.Tensor) else a for a in args]
            function(grid[0], grid[1], block[0], *given)

        return launch

    return compiled
