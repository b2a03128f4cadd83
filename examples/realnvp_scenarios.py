"""RealNVP on market states: draws from the flow, paths from the newest state, and the risk of portfolios."""

from __future__ import annotations

import alphaglow as ag


def main() -> None:
    """Fit a small RealNVP, and print scenarios."""
    panel = ag.demo_panel(bars=1_500)
    flow = ag.Flow.fit(panel, model="realnvp", epochs=2, members=1, steps=2, hidden=8, max_rows=1_000, refit_days=0)
    drawn = flow.scenarios(panel.assets[0], count=100, steps=12)
    print(drawn.lead)
    for title, table in drawn.tables.items():
        print(f"\n{title}\n{table.head(4).to_string(index=False)}")
    print(flow.risk(assets=panel.assets[:1]).lead)


if __name__ == "__main__":
    main()
