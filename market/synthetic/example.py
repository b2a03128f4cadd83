"""A spec to start from, as `alphaglow data synth --print-spec` prints it."""

EXAMPLE = """# A synthetic market: alphaglow data synth --spec this.toml --name market
seed = 7
assets = 50
bars = 17520            # two years of hours
bar_hours = 1.0
start = "2022-01-01"
volatility = 0.006      # deviation of an average asset's log return per calm bar
tail = 4.0              # Student-t degrees of freedom; 4 is hourly crypto
jumps = 20.0            # common jumps a year, and as many of each asset's own
jump_size = 8.0         # in deviations of a calm bar
listings = 0.2          # share of assets listed later
deaths = 0.1            # share of assets that end before the panel
funding = true          # settled every eight hours

[[regimes]]             # the market begins in the first
name = "calm"
stay = 300.0            # mean bars of a visit

[[regimes]]
name = "wild"
volatility = 2.2        # multiples of the calm ones
volume = 1.8
correlation = 0.5       # the market's share of an asset's variance
stay = 120.0

[[regimes]]
name = "crash"
drift = -0.002          # mean log return of the market a bar
volatility = 4.5
volume = 4.0
correlation = 0.75
stay = 40.0

[[signals]]             # driver "wave": a field of its own, here wave_a
name = "wave_a"
ic = 0.03               # rank IC with the next bar's return, in every regime

[[signals]]             # driver "volume": ts_mean(volume, 24) / ts_mean(volume, 168); "funding": -funding_rate
name = "busy"
driver = "volume"
ic = { calm = 0.03, wild = 0.01, crash = -0.08 }

[[anomalies]]           # flash_crash, burst, dead, decoupling, herding, volume_surge, stuck_volume, stale, halt
kind = "flash_crash"
count = 2
bars = 6
share = 1.0             # of the assets
size = 0.25

[[anomalies]]
kind = "dead"
count = 1
bars = 48
share = 0.2
"""
