"""Ranks and scores of bars as CUDA kernels, a bar a block: what `tensor_scores` computes in torch, in one pass.

A block sorts its bar in the card's shared memory and adds up there, so that a signal is read once. Threads of a block
take assets in turn, however many threads there are: with one thread the same text runs on a processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from agent.device.raw_kernels import Compiler, sent
from backtest.ic import MIN_PAIRS
from backtest.ledger import DELISTED_AFTER
from backtest.quick_kernels import EXPOSURE, GROSS, IC, NET, PAYOFF, PEARSON, SERIES, TURNOVER

# Assets of a bar that fit the shared memory of a block.
MOST_ASSETS = 1024
_LEAST_PADDED = 64
# Bars that one block trades, and bars before them after which nothing earlier matters: each bar multiplies an error of
# the growth by the cost of a trade, and what cannot be traded is carried for `DELISTED_AFTER` bars at most.
_STRETCH = 128
_SETTLES = 8

_HEAD = r"""
#define TIE 1e-12
#define LEAST 1e-9
#define DUST 1e-24
#define PADDED @PADDED@
#define THREADS @THREADS@
#define EACH(i, n) for (int i = threadIdx.x; i < (n); i += blockDim.x)
__device__ inline double missing() { return __longlong_as_double(0x7ff8000000000000LL); }
__device__ inline double infinite() { return __longlong_as_double(0x7ff0000000000000LL); }
__device__ inline double finite_or_missing(double v) { return v - v == 0.0 ? v : missing(); }
__device__ inline double within_one(double v) { return v > 1.0 ? 1.0 : v < -1.0 ? -1.0 : v; }
__device__ inline void meet(bool all) { if (all) __syncthreads(); else __syncwarp(); }
// Adds up rows of one number a thread; sums are at the start of each row.
__device__ void add_up(double* room, int rows) {
    for (int half = blockDim.x >> 1; half > 0; half >>= 1) {
        meet(half >= 32);
        if (threadIdx.x < half)
            for (int r = 0; r < rows; r++) {
                double* mine = room + r * blockDim.x + threadIdx.x;
                mine[0] += mine[half];
            }
    }
    __syncthreads();
}
// Sorts PADDED numbers, none NaN (Batcher's bitonic sort). Steps of 32 and less stay within the 64 numbers of a warp.
__device__ void sort_row(double* s) {
    bool far = true;
    for (int k = 2; k <= PADDED; k <<= 1)
        for (int j = k >> 1; j > 0; j >>= 1) {
            meet(far || j > 32);
            far = j > 32;
            EACH(p, PADDED / 2) {
                int a = ((p & ~(j - 1)) << 1) | (p & (j - 1));
                double u = s[a], v = s[a + j];
                if ((u > v) == ((a & k) == 0)) { s[a] = v; s[a + j] = u; }
            }
        }
    __syncthreads();
}
// How many of the sorted numbers are below v, or equal to it where asked.
__device__ int below(const double* s, double v, bool equal) {
    int at = 0;
    for (int step = PADDED / 2; step > 0; step >>= 1) {
        double w = s[at + step - 1];
        at += w < v || (equal && w == v) ? step : 0;
    }
    return at + (s[at] < v || (equal && s[at] == v) ? 1 : 0);
}
// Average ranks less their middle, 0 where missing; returns how many are known. `to` may be `from`.
__device__ int places_of(const double* from, double* to, double* sorted) {
    EACH(i, PADDED) sorted[i] = from[i] == from[i] ? from[i] : infinite();
    sort_row(sorted);
    int count = below(sorted, infinite(), false);
    double middle = 0.5 * (count + 1);
    EACH(i, PADDED) {
        double v = from[i], margin = TIE * fabs(v);
        to[i] = v == v ? 0.5 * (below(sorted, v - margin, false) + below(sorted, v + margin, true) + 1) - middle : 0.0;
    }
    __syncthreads();
    return count;
}
extern "C" __global__ void kernel(const long long* places, int bars, int width, int more) {
    int k = threadIdx.x, many = blockDim.x;
"""
_RANKS = r"""
    __shared__ double x[PADDED], place[PADDED], sorted[PADDED];
    const double* from = (const double*)places[0] + (long long)blockIdx.x * width;
    double* to = (double*)places[1] + (long long)blockIdx.x * width;
    EACH(i, PADDED) x[i] = i < width ? finite_or_missing(from[i]) : missing();
    int count = places_of(x, place, sorted);
    EACH(i, width) to[i] = x[i] == x[i] ? place[i] + 0.5 * (count + 1) : missing();
}
"""
_PREDICT = r"""
    __shared__ double x[PADDED], place[PADDED], other[PADDED], sorted[PADDED], room[8 * THREADS];
    int t = blockIdx.x, e = blockIdx.y;
    long long row = (long long)t * width, cell = (long long)e * bars * width + row;
    const double* values = (const double*)places[0] + cell;
    const double* outside = (const double*)places[1] + row;
    const double* unknown = (const double*)places[2] + row;
    const double* forward = (const double*)places[3] + row;
    const double* centred = (const double*)places[4] + row;
    const double* risk = (const double*)places[5] + row;
    double known_count = ((const double*)places[6])[t];
    double* weights = (double*)places[7] + cell;
    double* series = (double*)places[8] + (long long)e * @SERIES@ * bars + t;
    EACH(i, PADDED) x[i] = i < width ? finite_or_missing(values[i] + outside[i]) : missing();
    int count = places_of(x, place, sorted);
    double pivot = count > 0 ? sorted[count / 2] : 0.0, sizes = 0.0, common = 0.0, one = 0.0, two = 0.0;
    EACH(i, width) {
        bool both = x[i] == x[i] && unknown[i] == 0.0;
        sizes += fabs(place[i]);
        common += both ? 1.0 : 0.0;
        one += both ? x[i] - pivot : 0.0;
        two += both ? forward[i] : 0.0;
    }
    room[k] = sizes; room[many + k] = common; room[2 * many + k] = one; room[3 * many + k] = two;
    add_up(room, 4);
    sizes = room[0]; common = room[many]; one = room[2 * many] / common; two = room[3 * many] / common;
    __syncthreads();
    EACH(i, width) weights[i] = sizes > LEAST ? place[i] / sizes : 0.0;
    EACH(i, width) x[i] = unknown[i] == 0.0 ? x[i] : missing();
    if (common < count) places_of(x, place, sorted);
    if (common < known_count && common > 0.0) {
        EACH(i, PADDED) other[i] = x[i] == x[i] ? forward[i] : missing();
        places_of(other, other, sorted);
    } else {
        EACH(i, width) other[i] = centred[i];
    }
    double xx = 0.0, yy = 0.0, xy = 0.0, size = 0.0, paid = 0.0, gg = 0.0, hh = 0.0, gh = 0.0;
    EACH(i, width) {
        bool both = x[i] == x[i];
        double p = place[i], q = other[i], g = both ? x[i] - pivot - one : 0.0, h = both ? forward[i] - two : 0.0;
        xx += p * p; yy += q * q; xy += p * q; size += fabs(p); paid += p * risk[i];
        gg += g * g; hh += h * h; gh += g * h;
    }
    room[k] = xx; room[many + k] = yy; room[2 * many + k] = xy; room[3 * many + k] = size;
    room[4 * many + k] = paid; room[5 * many + k] = gg; room[6 * many + k] = hh; room[7 * many + k] = gh;
    add_up(room, 8);
    if (k == 0) {
        xx = room[0]; yy = room[many]; xy = room[2 * many]; size = room[3 * many];
        paid = room[4 * many]; gg = room[5 * many]; hh = room[6 * many]; gh = room[7 * many];
        bool enough = common >= @MIN_PAIRS@;
        double dust = DUST * common, mean = pivot + one;
        bool varies = gg > dust * mean * mean && hh > dust * two * two && gg < infinite();
        bool ranked = xx > LEAST && yy > LEAST;
        double ic = within_one(xy / (sqrt(xx) * sqrt(yy))), pearson = within_one(gh / (sqrt(gg) * sqrt(hh)));
        series[@IC@ * (long long)bars] = enough && ranked ? ic : missing();
        series[@PAYOFF@ * (long long)bars] = enough && size > LEAST ? paid / size : missing();
        series[@PEARSON@ * (long long)bars] = enough && varies ? pearson : missing();
    }
}
"""
_TRADE = r"""
    __shared__ double held[PADDED], room[5 * THREADS];
    int first = blockIdx.x * @STRETCH@, last = first + @STRETCH@ < bars ? first + @STRETCH@ : bars, e = blockIdx.y;
    const double* weights = (const double*)places[0] + (long long)e * bars * width;
    const double* returns = (const double*)places[1];
    const double* funding = (const double*)places[2];
    const double* states = (const double*)places[3];
    const double* rules = (const double*)places[4];
    double* series = (double*)places[5] + (long long)e * @SERIES@ * bars;
    double per_trade = rules[0], borrow = rules[1], growth = 1.0;
    EACH(i, PADDED) held[i] = 0.0;
    for (int t = first > more ? first - more : 0; t < last; t++) {
        long long row = (long long)t * width;
        double gross = 0.0, net = 0.0, below_zero = 0.0, paid = 0.0, turnover = 0.0, exposure = 0.0;
        EACH(i, width) {
            double was = held[i] / growth, now = weights[row + i], moves = returns[row + i];
            double state = states ? states[row + i] : @TRADED@;
            now = state == @TRADED@ ? now : state == @CARRIED@ ? was : 0.0;
            gross += now * moves;
            below_zero += now < 0.0 ? -now : 0.0;
            paid += funding ? now * funding[row + i] : 0.0;
            turnover += fabs(now - was);
            exposure += fabs(now);
            held[i] = now * (1.0 + moves);
        }
        room[k] = gross; room[many + k] = below_zero; room[2 * many + k] = paid;
        room[3 * many + k] = turnover; room[4 * many + k] = exposure;
        add_up(room, 5);
        gross = room[0]; below_zero = room[many]; paid = room[2 * many];
        turnover = room[3 * many]; exposure = room[4 * many];
        __syncthreads();
        net = gross - turnover * per_trade - below_zero * borrow - paid;
        growth = 1.0 + net;
        if (k == 0 && t >= first) {
            series[@GROSS@ * (long long)bars + t] = gross;
            series[@NET@ * (long long)bars + t] = net;
            series[@TURNOVER@ * (long long)bars + t] = turnover;
            series[@EXPOSURE@ * (long long)bars + t] = exposure;
        }
    }
}
"""
_PRODUCTS = r"""
    __shared__ double room[THREADS];
    int lag = blockIdx.x + 1;
    const double* x = (const double*)places[0] + (long long)blockIdx.y * bars;
    double sum = 0.0;
    EACH(t, bars - lag) sum += x[t] * x[t + lag];
    room[k] = sum;
    add_up(room, 1);
    if (k == 0) ((double*)places[1])[(long long)blockIdx.y * more + blockIdx.x] = room[0];
}
"""
# What becomes of a position at a bar: gone, traded to its target, or carried as it is.
GONE, TRADED, CARRIED = 0.0, 1.0, 2.0
_NUMBERS: Mapping[str, float] = {
    "SERIES": SERIES, "MIN_PAIRS": MIN_PAIRS, "IC": IC, "PAYOFF": PAYOFF, "PEARSON": PEARSON, "GROSS": GROSS,
    "NET": NET, "TURNOVER": TURNOVER, "EXPOSURE": EXPOSURE, "STRETCH": _STRETCH, "TRADED": TRADED, "CARRIED": CARRIED,
}  # fmt: skip
_BODIES: Mapping[str, str] = {"ranks": _RANKS, "predict": _PREDICT, "trade": _TRADE, "products": _PRODUCTS}


class BarKernels:
    """Ranks and scores of bars of `width` assets, `MOST_ASSETS` at most, in float64; kernels are compiled on demand."""

    def __init__(self, width: int, compiler: Compiler) -> None:
        self._padded = max(_LEAST_PADDED, 1 << (width - 1).bit_length())
        # A thread takes two numbers; bars that fill the shared memory leave less of it for sums.
        self._threads = min(self._padded // 2, 131_072 // self._padded)
        self._compiler = compiler
        self._compiled: dict[str, Callable[..., object]] = {}

    @cached_property
    def fault(self) -> str:
        """What keeps the kernels from being compiled here; empty if nothing does."""
        try:
            for name in _BODIES:
                self._kernel(name)
        except (AttributeError, OSError, RuntimeError) as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def ranks(self, x: Tensor) -> Tensor:
        """Return `tensor_operators.row_ranks` of x (.., N)."""
        x = x.contiguous()
        out, rows = torch.empty_like(x), x.numel() // x.shape[-1]
        self._run("ranks", [x, out], (rows, 1), (rows, x.shape[-1], 0))
        return out

    def predict(self, values: Tensor, market: Sequence[Tensor], out: Tensor) -> Tensor:
        """Fill rank IC, IC and payoff of `out` (E, 7, T) for values (E, T, N); return target weights (E, T, N).

        `market` is outside, unknown, forward, centred ranks and risk (T, N) and how many are known (T,).
        """
        values = values.contiguous()
        weights = torch.empty_like(values)
        count, bars, width = values.shape
        self._run("predict", [values, *market, weights, out], (bars, count), (bars, width, 0))
        return weights

    def trade(self, weights: Tensor, market: Sequence[Tensor | None], out: Tensor) -> None:
        """Fill gross and net return, turnover and exposure of `out` (E, 7, T) for target weights (E, T, N).

        `market` is returns, funding, states (T, N; see `GONE`) and costs (2,) of a trade and of a bar held short; no
        states mean that all is traded.
        """
        count, bars, width = weights.shape
        earlier = _SETTLES + (DELISTED_AFTER if market[2] is not None else 0)
        self._run("trade", [weights, *market, out], (-(-bars // _STRETCH), count), (bars, width, earlier))

    def products(self, gaps: Tensor, lags: int) -> Tensor:
        """Return sums (S, lags) of products of series (S, T) with themselves 1, 2, .. bars later."""
        gaps = gaps.contiguous()
        out = torch.empty((len(gaps), lags), dtype=gaps.dtype, device=gaps.device)
        self._run("products", [gaps, out], (lags, len(gaps)), (gaps.shape[1], 0, lags))
        return out

    def _run(
        self, name: str, arrays: Sequence[Tensor | None], grid: tuple[int, int], numbers: tuple[int, int, int]
    ) -> None:
        device = next(array.device for array in arrays if array is not None)
        addresses = [0 if array is None else array.data_ptr() for array in arrays]
        places = sent(np.array(addresses, dtype=np.int64), device)
        self._kernel(name)(grid=(*grid, 1), block=(self._threads, 1, 1), args=[places, *numbers])

    def _kernel(self, name: str) -> Callable[..., object]:
        if name not in self._compiled:
            source = _HEAD + _BODIES[name]
            for key, number in {**_NUMBERS, "PADDED": self._padded, "THREADS": self._threads}.items():
                source = source.replace(f"@{key}@", str(number))
            self._compiled[name] = self._compiler(source)
        return self._compiled[name]
