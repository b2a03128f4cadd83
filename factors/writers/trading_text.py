"""The function `positions` of an exported module: targets traded as the study traded them, from fill to fill."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trading:
    """How targets are traded and what it costs, in fractions: see `backtest.trading_rules` and `backtest.ledger`.

    `cost` is of what is traded, `borrow` of what is short, a bar; `dead_after` counts bars without a price.
    """

    fill: str
    rate: float
    band: float
    rebalance: int
    cost: float
    borrow: float
    delisting_return: float
    dust: float
    ruin: float
    dead_after: int

    @property
    def in_full(self) -> bool:
        """Whether every target is traded at once: then positions are the targets."""
        return self.rate >= 1 and self.band == 0 and self.rebalance == 1


_POSITIONS = '''

def positions(weights, frames, first=0):
    """Return what is held just after each fill, as fractions of capital, for target weights of `weights`.

    A target of bar t is filled at the next bar's <<fill>>: a position moves <<rate>> of the way to it, at one bar in
    <<rebalance>>, where it is more than <<band>> of capital off; in between it drifts with prices. Trades cost <<cost>>
    of what is traded, shorts <<borrow>> a bar. The first row that is traded is `first`. An asset without a price keeps
    its position, and is settled at the last price after <<dead>> bars. The last row is not filled yet.
    """
    price = frames["<<fill>>"].to_numpy(float)
    volume = frames["volume"].to_numpy(float) if "volume" in frames else np.ones(price.shape)
    known = frames["<<fill>>"].ffill().to_numpy(float)
    target, out = weights.to_numpy(float), np.zeros(price.shape)
    held, halted, growth = np.zeros(price.shape[1]), np.zeros(price.shape[1], dtype=int), 1.0
    for t in range(len(price) - 1):
        fresh = np.isfinite(price[t + 1]) & ~((volume[t + 1] == 0) & (volume > 0).any())
        halted = np.where(fresh, 0, halted + 1)
        now = held / growth if growth > 0 else np.zeros(len(held))
        wanted = target[t] if growth > 0 and t >= first else np.zeros(len(held))
        moved = now + <<rate>> * (wanted - now) if <<rate>> < 1 else wanted
        moved = np.where((wanted == 0) & (np.abs(moved) <= <<dust>>), 0.0, moved)
        trades = fresh & (t % <<rebalance>> == 0)
        if <<band>> > 0:
            trades &= (wanted == 0) | (np.abs(wanted - now) > <<band>>)
        new = np.where(trades, moved, now)
        dead = halted > <<dead>>
        lost = (now[dead] * <<delisted>>).sum()
        new = np.where(dead, 0.0, new)
        out[t] = new
        if t + 2 < len(price):
            step = known[t + 2] / known[t + 1] - 1.0
            step = np.where(np.isfinite(step), step, 0.0)
        else:
            step = np.zeros(len(held))
        cost = np.abs(new - now).sum() * <<cost>> + np.maximum(-new, 0.0).sum() * <<borrow>>
        net = (new * step).sum() + lost - cost
        held = new * (1.0 + step)
        growth = 1.0 + net if growth > 0 and 1.0 + net > <<ruin>> else 0.0
    return pd.DataFrame(out, frames["close"].index, frames["close"].columns)
'''


def positions_text(trading: Trading) -> str:
    """Return the function for a rule; numbers are written so that they read back as they are."""
    text = _POSITIONS
    for token, value in {
        "fill": trading.fill,
        "rate": repr(trading.rate),
        "rebalance": repr(trading.rebalance),
        "band": repr(trading.band),
        "cost": repr(trading.cost),
        "borrow": repr(trading.borrow),
        "delisted": repr(trading.delisting_return),
        "dust": repr(trading.dust),
        "ruin": repr(trading.ruin),
        "dead": repr(trading.dead_after),
    }.items():
        text = text.replace(f"<<{token}>>", value)
    return text
