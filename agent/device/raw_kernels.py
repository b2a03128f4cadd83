"""Window operators as CUDA kernels, a cell a thread: what `agent.device.window_statistics` says, without copies.

They are compiled on the card's machine with the compiler that torch brings. Each expression of a call has its own
window. Windows are read from where they lie: neighbours read the same values, so nearly all come from the card's cache.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Compiles a source with one kernel named `kernel`; what it returns is called with grid=, block=, args=.
Compiler = Callable[[str], Callable[..., object]]
_THREADS = 256
# Assets next to each other that a block computes, and as many bars; all of them where there are no more than these.
_COLUMNS = 16
_NARROW = 64
# Bars that one thread of a recursive average writes.
_STRETCH = 128

_HEAD = r"""
#define TIE 1e-12
#define SNAP 1e-12
#define X(i) x[(long long)(i) * width]
#define Y(i) y[(long long)(i) * width]
__device__ inline double missing() { return __longlong_as_double(0x7ff8000000000000LL); }
__device__ inline double finite_or_missing(double v) { return v - v == 0.0 ? v : missing(); }
__device__ inline long long key_of(double v) {
    long long b = __double_as_longlong(v);
    return b ^ ((b >> 63) & 0x7fffffffffffffffLL);
}
__device__ inline double value_of(long long k) { return __longlong_as_double(k ^ ((k >> 63) & 0x7fffffffffffffffLL)); }
extern "C" __global__ void kernel(const long long* xs, const long long* ys, const int* windows, const double* extras,
                                  double* out, int bars, int width) {
    int cell = blockIdx.x * blockDim.x + threadIdx.x;
    int e = blockIdx.y;
"""
_WINDOW = (
    _HEAD
    + r"""
    int t = cell / width, n = cell - t * width, d = windows[e];
    if (width > @NARROW@) {
        // Threads of a block are neighbours in time too: most values that they read are in the nearest cache.
        int across = (width + @COLUMNS@ - 1) / @COLUMNS@;
        t = blockIdx.x / across * (blockDim.x / @COLUMNS@) + threadIdx.x / @COLUMNS@;
        n = blockIdx.x % across * @COLUMNS@ + threadIdx.x % @COLUMNS@;
    }
    if (t >= bars || n >= width) return;
    double extra = extras[e], result = missing();
    if (t >= d - 1) {
        long long start = (long long)(t - d + 1) * width + n;
        const double* x = (const double*)xs[e] + start;
        const double* y = (const double*)ys[e] + start;
        @BODY@
    }
    out[((long long)e * bars + t) * width + n] = finite_or_missing(result);
}
"""
).replace("@NARROW@", str(_NARROW)).replace("@COLUMNS@", str(_COLUMNS))  # fmt: skip
_AVERAGE = (
    _HEAD
    + r"""
    int part = cell / width, n = cell - part * width, warm = windows[e];
    if (part * @STRETCH@ >= bars) return;
    double alpha = extras[e], level = 0.0;
    // What came earlier than this has a weight below 1e-20.
    double back = alpha < 1.0 ? -46.1 / log1p(-alpha) : 0.0;
    int first = part * @STRETCH@, last = first + @STRETCH@ < bars ? first + @STRETCH@ : bars;
    int reach = back < bars ? (int)back + 2 : bars;
    reach = reach < warm ? warm : reach;
    const double* x = (const double*)xs[e] + n;
    double* result = out + (long long)e * bars * width + n;
    int run = 0;
    for (int t = first > reach ? first - reach : 0; t < last; t++) {
        double v = X(t);
        level = run > 0 ? alpha * v + (1.0 - alpha) * level : v;
        run = v == v ? run + 1 : 0;
        if (t >= first) result[(long long)t * width] = run >= warm ? level : missing();
    }
}
"""
).replace("@STRETCH@", str(_STRETCH))

# Sums about the window's first value, and gaps from the mean as G(i).
_MEAN = r"double p = X(0), s = 0.0; for (int i = 0; i < d; i++) s += X(i) - p; double m = s / d;"
_SPREAD = _MEAN + r"""
        double q = 0.0;
        for (int i = 0; i < d; i++) { double g = X(i) - p - m; q += g * g; }
        double v = d > 1 ? q / (d - 1) : missing();"""  # fmt: skip
_POWERS = _MEAN + r"""
        double two = 0.0, three = 0.0, four = 0.0;
        for (int i = 0; i < d; i++) {
            double g = X(i) - p - m, h = g * g;
            two += h; three += h * g; four += h * h;
        }
        two /= d; three /= d; four /= d;"""  # fmt: skip
_RAMP = _SPREAD + r"""
        double c = 0.0, middle = 0.5 * (d - 1), spread = d * ((double)d * d - 1.0) / 12.0;
        for (int i = 0; i < d; i++) c += (i - middle) * (X(i) - p);"""  # fmt: skip
_EXTREME = r"""
        double low = @SIGN@ * X(0);
        for (int i = 1; i < d; i++) { double v = @SIGN@ * X(i); low = v < low || v != v ? v : low; }"""
_AGE = _EXTREME + r"""
        if (low == low) {
            int i = d - 1;
            double bound = low + TIE * fabs(low);
            while (i > 0 && !(@SIGN@ * X(i) <= bound)) i--;
            result = d - 1 - i;
        }"""  # fmt: skip
_QUANTILE = r"""
        double spot = extra * (d - 1);
        int want = (int)floor(spot);
        long long low = key_of(X(0)), high = low;
        bool whole = true;
        for (int i = 0; i < d; i++) {
            double v = X(i);
            long long k = key_of(v);
            whole = whole && v == v;
            low = k < low ? k : low;
            high = k > high ? k : high;
        }
        if (whole) {
            // Bounds move to values of the window: they meet after a few turns.
            while (low < high) {
                long long middle = low + (long long)(((unsigned long long)high - (unsigned long long)low) >> 1);
                long long below = low, above = high;
                int count = 0;
                for (int i = 0; i < d; i++) {
                    long long k = key_of(X(i));
                    if (k <= middle) { count++; below = k > below ? k : below; }
                    else above = k < above ? k : above;
                }
                if (count > want) high = below; else low = above;
            }
            double here = value_of(low);
            result = here;
            if (spot > want) {
                int count = 0;
                double next = 0.0;
                bool any = false;
                for (int i = 0; i < d; i++) {
                    double v = X(i);
                    if (v <= here) count++;
                    else { next = !any || v < next ? v : next; any = true; }
                }
                result = here + (spot - want) * ((count > want + 1 ? here : next) - here);
            }
        }"""
_PAIR = r"""
        double p = X(0), r = Y(0), s = 0.0, u = 0.0;
        for (int i = 0; i < d; i++) { s += X(i) - p; u += Y(i) - r; }
        s /= d; u /= d;
        double xx = 0.0, yy = 0.0, xy = 0.0;
        for (int i = 0; i < d; i++) {
            double a = X(i) - p - s, b = Y(i) - r - u;
            xx += a * a; yy += b * b; xy += a * b;
        }
        double size = sqrt(xx) * sqrt(yy);
        xy = fabs(xy) <= SNAP * size ? 0.0 * xy : xy;"""

_BODIES: Mapping[str, str] = {
    "ts_sum": "double s = 0.0; for (int i = 0; i < d; i++) s += X(i); result = s;",
    "ts_product": "double s = 1.0; for (int i = 0; i < d; i++) s *= X(i); result = s;",
    "ts_mean": _MEAN + "result = p + m;",
    "ts_var": _SPREAD + "result = v;",
    "ts_std": _SPREAD + "result = sqrt(v);",
    "ts_zscore": _SPREAD + "result = (X(d - 1) - p - m) / sqrt(v);",
    "ts_ir": _SPREAD + "result = (p + m) / sqrt(v);",
    "ts_skew": _POWERS + "if (d > 2) result = three / (two * sqrt(two)) * (sqrt(d * (d - 1.0)) / (d - 2.0));",
    "ts_kurt": _POWERS
    + "if (d > 3) result = (d - 1.0) / ((d - 2.0) * (d - 3.0)) * ((d + 1.0) * (four / (two * two) - 3.0) + 6.0);",
    "_moment": _POWERS + "result = extra == 1.0 ? 0.0 * two : extra == 2.0 ? two : extra == 3.0 ? three : four;",
    "ts_slope": _RAMP + "result = c / spread;",
    "ts_resid": _RAMP + "result = X(d - 1) - p - m - c / spread * middle;",
    "ts_rsquare": _RAMP + "double k = c * (c / spread) / q; result = q > 0.0 ? (k < 1.0 ? k : 1.0) : missing();",
    "ts_decay_linear": "double p = X(0), s = 0.0; for (int i = 0; i < d; i++) s += (i + 1.0) * (X(i) - p);"
    "result = p + s / (0.5 * d * (d + 1.0));",
    "ts_decay_exp": "double p = X(0), s = 0.0, w = 1.0, all = 0.0;"
    "for (int i = d - 1; i >= 0; i--) { s += w * (X(i) - p); all += w; w *= extra; } result = p + s / all;",
    "ts_min": _EXTREME.replace("@SIGN@", "1.0") + "result = low;",
    "ts_max": _EXTREME.replace("@SIGN@", "-1.0") + "result = -low;",
    "ts_argmin": _AGE.replace("@SIGN@", "1.0"),
    "ts_argmax": _AGE.replace("@SIGN@", "-1.0"),
    "ts_rank": r"""
        double v = X(d - 1), edge = TIE * fabs(v), nothing = 0.0;
        int below = 0;
        for (int i = 0; i < d; i++) {
            double w = X(i);
            below += (w < v - edge) + (w <= v + edge);
            nothing += w - w;
        }
        result = 0.5 * (below + 1.0) / d + nothing;""",
    "ts_quantile": _QUANTILE,
    "ts_corr": _PAIR + "double k = xy / size; result = fabs(k) > 1.0 - SNAP ? (k > 0.0 ? 1.0 : -1.0) : k;",
    "ts_cov": _PAIR + "result = d > 1 ? xy / (d - 1) : missing();",
    "ts_beta": _PAIR + "result = xy / yy;",
    "_deviation": r"""
        double middle = Y(d - 1), s = 0.0;
        for (int i = 0; i < d; i++) {
            double g = X(i) - middle, power = g;
            for (int k = 1; k < (int)extra; k++) power *= g;
            s += extra == 0.0 ? fabs(g) : power;
        }
        result = s / d;""",
}
# Operators cell by cell, of the last value and the first of a window; which one, an expression says.
_CELLS: Mapping[str, str] = {
    "add": "a + b",
    "sub": "a - b",
    "mul": "a * b",
    "div": "a / b",
    "max": "a > b || a != a ? a : b",
    "min": "a < b || a != a ? a : b",
    "lt": "(a < b ? 1.0 : 0.0) + nothing",
    "le": "(a <= b ? 1.0 : 0.0) + nothing",
    "gt": "(a > b ? 1.0 : 0.0) + nothing",
    "ge": "(a >= b ? 1.0 : 0.0) + nothing",
    "neg": "-a",
    "abs": "fabs(a)",
    "sign": "a > 0.0 ? 1.0 : a < 0.0 ? -1.0 : a",
    "ts_delay": "X(0)",
    "ts_delta": "a - X(0)",
    "ts_returns": "a / X(0) - 1.0",
    "_ratio": "a / X(0)",
}
_CODES: Mapping[str, int] = {op: code for code, op in enumerate(_CELLS)}
CELLS = frozenset(_CELLS)
_CELL = (
    "double a = X(d - 1), b = Y(d - 1), nothing = 0.0 * a + 0.0 * b;\nswitch ((int)extra) {\n"
    + "".join(f"case {_CODES[op]}: result = {text}; break;\n" for op, text in _CELLS.items())
    + "}"
)
_SOURCES: Mapping[str, str] = {
    "cells": _WINDOW.replace("@BODY@", _CELL),
    **{name: _WINDOW.replace("@BODY@", body) for name, body in _BODIES.items()},
    "average": _AVERAGE,
}
# What the engine calls by other names; the second operand of these is found on the way.
_SAME: Mapping[str, str] = {"_recent_low": "ts_argmin", "_recent_high": "ts_argmax"}
_ALPHAS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "ts_ema": lambda n: 2.0 / (n[0] + 1.0),
    "ts_sma": lambda n: n[1] / n[0],
    "_wilder": lambda n: 1.0 / n[0],
}
COMPUTED = frozenset({*_BODIES, *_SAME, *_ALPHAS})


def sent(table: NDArray[np.generic], device: torch.device) -> Tensor:
    """Return a small array on the device; on a card the processor does not wait for the copy."""
    here = torch.from_numpy(table)
    return here.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else here


def card_compiler(source: str) -> Callable[..., object]:
    """Compile for the card that is current, once a process, with the NVRTC that torch brings."""
    return _compiled_for(source, torch.cuda.current_device())


@cache
def _compiled_for(source: str, _card: int) -> Callable[..., object]:
    """Compile for the card that is current.

    torch's own function for it also looks for a CUDA toolkit, which kernels without headers do not need.
    """
    from torch.cuda import _utils

    library = getattr(_utils, "_get_gpu_rtc_library", None) or _utils._get_nvrtc_library
    nvrtc, program, size = library(), ctypes.c_void_p(), ctypes.c_size_t()
    major, minor = torch.cuda.get_device_capability()
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture=sm_{major}{minor}".encode())
    if nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None):
        raise RuntimeError("NVRTC takes no program")
    try:
        if nvrtc.nvrtcCompileProgram(program, 1, options):
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            nvrtc.nvrtcGetProgramLog(program, log)
            raise RuntimeError(f"a kernel does not compile: {log.value.decode(errors='replace')}")
        nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
        binary = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetCUBIN(program, binary)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    # Loading needs a context, which torch makes with its first array.
    torch.zeros(1, device="cuda")
    modules: Any = _utils._cuda_load_module(binary.raw, ["kernel"])
    compiled: Callable[..., object] = modules["kernel"]
    return compiled


def _window_blocks(bars: int, width: int) -> int:
    if width <= _NARROW:
        return -(-bars * width // _THREADS)
    return -(-width // _COLUMNS) * -(-bars // (_THREADS // _COLUMNS))


class RawKernels:
    """Window operators on arrays of one device, each compiled when it is first asked for."""

    def __init__(self, compiler: Compiler = card_compiler) -> None:
        self.compiler = compiler
        self._compiled: dict[str, Callable[..., object]] = {}

    @cached_property
    def fault(self) -> str:
        """What keeps kernels from being compiled here; empty if nothing does."""
        try:
            self._kernel("ts_sum")
        except (AttributeError, OSError, RuntimeError) as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def compile_all(self) -> dict[str, str]:
        """Compile every kernel; return the faults of those that do not compile."""
        faults = {}
        for name in _SOURCES:
            try:
                self._kernel(name)
            except (AttributeError, OSError, RuntimeError) as error:
                faults[name] = f"{type(error).__name__}: {error}"
        return faults

    @property
    def used(self) -> set[str]:
        """Names of what has been compiled."""
        return set(self._compiled)

    def _kernel(self, name: str) -> Callable[..., object]:
        if name not in self._compiled:
            self._compiled[name] = self.compiler(_SOURCES[name])
        return self._compiled[name]

    def __call__(self, op: str, operands: Sequence[Sequence[Tensor]], numbers: Sequence[Sequence[float]]) -> Tensor:
        """Return an operator of E expressions, (E, T, N).

        `operands` are, for each operand of the operator, E arrays (T, N) of float64; `numbers` the E calls' own.
        """
        first = [array.contiguous() for array in operands[0]]
        second = [array.contiguous() for array in operands[-1]]
        bars, width = first[0].shape
        if op in _ALPHAS:
            name, extras = "average", [_ALPHAS[op](n) for n in numbers]
            blocks = -(-(-(-bars // _STRETCH) * width) // _THREADS)
        else:
            name, extras = _SAME.get(op, op), [float(n[1]) if len(n) > 1 else 0.0 for n in numbers]
            blocks = _window_blocks(bars, width)
        windows = [int(n[0]) for n in numbers]
        return self._run(name, blocks, first, second, windows, extras)

    def cells(self, ops: Sequence[str], operands: Sequence[Sequence[Tensor]], lags: Sequence[int]) -> Tensor:
        """Return E operators of `CELLS`, each with its lag or 0, as (E, T, N)."""
        first, second = ([array.contiguous() for array in arrays] for arrays in operands)
        codes = [float(_CODES[op]) for op in ops]
        return self._run("cells", _window_blocks(*first[0].shape), first, second, [lag + 1 for lag in lags], codes)

    def _run(
        self,
        name: str,
        blocks: int,
        first: Sequence[Tensor],
        second: Sequence[Tensor],
        windows: Sequence[int],
        extras: Sequence[float],
    ) -> Tensor:
        (bars, width), device = first[0].shape, first[0].device
        out = torch.empty((len(first), bars, width), dtype=torch.float64, device=device)
        table = np.zeros((4, len(first)), dtype=np.int64)
        table[:2] = [[x.data_ptr() for x in arrays] for arrays in (first, second)]
        table[2].view(np.int32)[: len(first)] = windows
        table[3].view(np.float64)[:] = extras
        places = sent(table, device)
        self._kernel(name)(
            grid=(blocks, len(first), 1),
            block=(_THREADS, 1, 1),
            args=[places[0], places[1], places[2], places[3], out, bars, width],
        )
        return out
