"""AlphaGlow as a library: one namespace over the house; each name is loaded when it is first used.

>>> import alphaglow as ag
>>> ag.factor("-ts_mean(returns, 5)").lookback
5
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alphaglow.factor_face import Factor, FactorError, factor
    from alphaglow.flow_face import Flow
    from alphaglow.interop import from_qlib
    from alphaglow.judging import Sweep, evaluate, sweep
    from alphaglow.panels import demo_panel, panel
    from alphaglow.results import Result
    from alphaglow.run_face import Run
    from alphaglow.state_face import state_features
    from alphaglow.verify_face import verify
    from alphaglow.workspace_face import Workspace
    from market.errors import InputError
    from market.panel import Panel

__all__ = [
    "Factor",
    "FactorError",
    "Flow",
    "InputError",
    "Panel",
    "Result",
    "Run",
    "Sweep",
    "Workspace",
    "__version__",
    "demo_panel",
    "evaluate",
    "factor",
    "from_qlib",
    "panel",
    "state_features",
    "sweep",
    "verify",
]
__version__ = "0.1.0"

# Where each name is defined.
_HOMES = {
    "Factor": "alphaglow.factor_face",
    "FactorError": "alphaglow.factor_face",
    "Flow": "alphaglow.flow_face",
    "InputError": "market.errors",
    "Panel": "market.panel",
    "Result": "alphaglow.results",
    "Run": "alphaglow.run_face",
    "Sweep": "alphaglow.judging",
    "Workspace": "alphaglow.workspace_face",
    "demo_panel": "alphaglow.panels",
    "evaluate": "alphaglow.judging",
    "factor": "alphaglow.factor_face",
    "from_qlib": "alphaglow.interop",
    "panel": "alphaglow.panels",
    "state_features": "alphaglow.state_face",
    "sweep": "alphaglow.judging",
    "verify": "alphaglow.verify_face",
}


def _strangers() -> list[str]:
    """Return the files that stand in the way of a package of this distribution, by the path of now."""
    from importlib.util import find_spec
    from pathlib import Path

    home, found = Path(__file__).resolve().parents[1], []
    for name in ("market", "factors", "flows", "backtest", "agent"):
        spec = find_spec(name)
        origin = None if spec is None else spec.origin
        if origin is not None and Path(origin).resolve().parents[1] != home:
            found.append(f"{name}: {origin}")
    return found


def __getattr__(name: str) -> object:
    """Load a name of the library when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'alphaglow' has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)


if _found := _strangers():
    raise ImportError(
        f"a file of another's stands in the way of alphaglow: {'; '.join(_found)}; rename it, or start Python elsewhere"
    )
