"""The fixed text of an exported Python module; `<<names>>` in it are filled in by `factors.writers.module`."""

from __future__ import annotations

# Python reads an encoding from the first two lines: nothing that a model wrote may stand there.
HEAD = ("Written by alphaglow: values and target weights of a factor, or of a pool of factors.", "")
NOTES = (
    "Needs numpy and pandas only. This file is yours, to use and change as you like. It sends no orders, and nothing "
    "here says that it will earn: ABOUT says what it is and what it was fitted on.",
)
IMPORTS = """
import argparse
import pathlib
import warnings

import numpy as np
import pandas as pd
"""
FUNCTIONS = '''
FIELDS = <<fields>>


def membership(frames, universe=None):
    """Return which assets take part at a bar, as an array of bool.

    universe: DataFrame of bool like the others, the assets that may be traded at a bar; those with a close if None.
    """
    close = frames["close"]
    if universe is None:
        inside = np.isfinite(close.to_numpy(float))
    else:
        inside = universe.reindex(index=close.index, columns=close.columns, fill_value=False).to_numpy(bool)
    return <<liquid>>


def check(frames):
    missing = [name for name in FIELDS if name not in frames]
    if missing:
        raise ValueError("frames lacks " + ", ".join(missing))
    close = frames["close"]
    for name in frames:
        if not (frames[name].index.equals(close.index) and frames[name].columns.equals(close.columns)):
            raise ValueError(name + " has not the bars and assets of close")


def values(frames, universe=None):
    """Return the signal, a DataFrame of bars by assets: higher is better, NaN is no opinion.

    frames: dict of DataFrames (bars by assets, one index in order of time and one set of columns), missing is NaN:
    <<needs>>. A value is known at the close of its bar, and needs that bar and earlier ones only.
    universe: see `membership`.
    """
    check(frames)
    panel, close = frames, frames["close"]
    shape = close.shape
    inside = membership(frames, universe)

    def field(name):
        return finite(panel[name].to_numpy())

    def among(x):
        return np.where(inside, x, np.nan)

    # A row or window without a value is missing in the result; numpy need not warn of it.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
<<steps>>
    return pd.DataFrame(np.broadcast_to(result, shape).copy(), close.index, close.columns)


def weights(signal, frames, universe=None):
    """Return target weights of a signal of `values`, as fractions of capital: <<how>>.

    A weight is known at the close of its bar and is to be traded at the next one. 0 is no position.
    """
    panel, close = frames, frames["close"]
    inside = membership(frames, universe)

    def field(name):
        return finite(panel[name].to_numpy())

    def among(x):
        return np.where(inside, x, np.nan)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        x = np.where(inside, signal.to_numpy(float), np.nan)
<<to_weights>>
    return pd.DataFrame(out, close.index, close.columns)
'''
PROGRAM = '''

def newest(frames, universe=None):
    """Return signal and target weight of each asset at the newest bar."""
    signal = values(frames, universe)
    found = weights(signal, frames, universe)
    return pd.DataFrame({"signal": signal.iloc[-1], "weight": found.iloc[-1]})


def read(path):
    """Return frames and universe of a long table: a column of times, one of assets, and the fields."""
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    time = next((name for name in ("ts", "time", "date", "timestamp") if name in table), None)
    asset = next((name for name in ("symbol", "asset", "pair", "ticker") if name in table), None)
    if time is None or asset is None:
        raise SystemExit("the table needs a column ts, time, date or timestamp, and one symbol, asset, pair or ticker")
    missing = [name for name in FIELDS if name not in table]
    if missing:
        raise SystemExit("the table lacks " + ", ".join(missing))
    table[asset] = table[asset].astype(str)
    wide = table.set_index([time, asset]).sort_index()
    numbers = [name for name in wide.columns if name != "in_universe" and pd.api.types.is_numeric_dtype(wide[name])]
    frames = {name: wide[name].unstack().astype(float) for name in numbers}
    universe = wide["in_universe"].unstack().eq(True) if "in_universe" in wide else None
    return frames, universe


def main():
    parser = argparse.ArgumentParser(description="Print signal and target weight of each asset at the newest bar.")
    parser.add_argument("table", type=pathlib.Path, help="long CSV or Parquet file")
    frames, universe = read(parser.parse_args().table)
    found = newest(frames, universe).dropna(how="all")
    found = found.sort_values("weight", ascending=False, kind="stable")
    found.index.name = "asset"
    print("# " + str(frames["close"].index[-1]))
    print(found.to_csv(lineterminator="\\n"), end="")


if __name__ == "__main__":
    main()
'''
