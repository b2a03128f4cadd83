"""Alerts to people's own services, by the package apprise: few, short, and without anything that must not leave.

An alert has no key, no address and no size of a position in it: names, states and counts alone. Where to is said by the
environment variable `ALPHAGLOW_ALERTS`, never by a file of the workspace, for such addresses hold secrets.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from agent.study.opening import Note
from agent.study.workspace import Workspace
from agent.untrusted.showing import displayable
from market.atomic_files import write_atomically
from market.errors import InputError

VARIABLE = "ALPHAGLOW_ALERTS"
FILE = "alerts.json"
# The same is not said again before this, and no more messages than this go out in a day.
_AGAIN = timedelta(hours=24)
_MOST_A_DAY = 20
_LONGEST = 300
AlertKind = Literal["admitted", "aging", "gate shut", "data stale", "budget spent", "run ended", "test"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to say: its kind, what it is about (the same of both is not said twice a day), and a sentence."""

    kind: AlertKind
    about: str
    text: str


def send_alerts(workspace: Workspace, alerts: Sequence[Alert], note: Note, *, now: datetime | None = None) -> int:
    """Send alerts as one message, where somebody said where to; return how many were in it.

    What was said in the last day is left out, and nothing is sent once the day's messages are spent. A failure is a
    sentence to `note`, and no error: what is reported has happened whether or not anyone hears of it.
    """
    addresses = os.environ.get(VARIABLE, "").split()
    moment = now or datetime.now(UTC)
    if not addresses or not alerts:
        return 0
    file = workspace.root / FILE
    before = _read(file, moment)
    fresh = [one for one in alerts if f"{one.kind}/{one.about}" not in before.said]
    if not fresh:
        return 0
    if len(before.sent) >= _MOST_A_DAY:
        note(f"{len(fresh)} alerts were kept back: {_MOST_A_DAY} messages went out in the last day")
        return 0
    try:
        failed = _deliver(addresses, f"alphaglow: {', '.join(dict.fromkeys(one.kind for one in fresh))}", fresh)
    except InputError as error:
        note(str(error))
        return 0
    if failed:
        note(failed)
        return 0
    stamp = moment.isoformat(timespec="seconds")
    said = {**before.said, **{f"{one.kind}/{one.about}": stamp for one in fresh}}
    text = json.dumps({"said": said, "sent": [*before.sent, stamp]}, indent=1)
    write_atomically(file, lambda target: target.write_text(text, encoding="utf-8"))
    return len(fresh)


def send_test(workspace: Workspace) -> None:
    """Send a message that says nothing, to see whether it arrives.

    Raises
    ------
    InputError
        Where nobody said where to, apprise is not installed, or a service did not take it.
    """
    addresses = os.environ.get(VARIABLE, "").split()
    if not addresses:
        raise InputError(
            f"{VARIABLE} is not set: there is nowhere to send alerts",
            "set it to one or more addresses of apprise, such as ntfys://ntfy.sh/TOPIC",
        )
    about = displayable(workspace.root.name)
    failed = _deliver(addresses, "alphaglow: test", [Alert("test", about, f"Alerts of {about} arrive here.")])
    if failed:
        raise InputError(failed, "look at its address in the documentation of apprise")


def _deliver(addresses: Sequence[str], title: str, alerts: Sequence[Alert]) -> str:
    """Send a message to each service; return a sentence for those that did not take it, or nothing.

    Addresses hold secrets: a sentence names a service by its number, and what apprise logs goes nowhere.
    """
    try:
        import apprise
    except ImportError as error:
        raise InputError("alerts need the package apprise", "pip install 'alphaglow[alerts]'") from error
    quiet = logging.getLogger("apprise")
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())
    body = "\n".join(displayable(one.text)[:_LONGEST] for one in alerts)
    failed = []
    for number, address in enumerate(addresses, 1):
        service = apprise.Apprise()
        if not service.add(address) or not service.notify(
            body=body, title=title, body_format=apprise.NotifyFormat.TEXT
        ):
            failed.append(str(number))
    if not failed:
        return ""
    return f"the alert did not reach service {', '.join(failed)} of {len(addresses)} in {VARIABLE}"


@dataclass(frozen=True, slots=True)
class _Sent:
    """What was said and when messages went out, in the last day."""

    said: dict[str, str]
    sent: list[str]


def _read(file: Path, now: datetime) -> _Sent:
    """Return what the last day's messages said; a file that cannot be read counts as none."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        said, sent = dict(stored["said"]), list(stored["sent"])
        recent = {key: at for key, at in said.items() if _is_recent(at, now)}
        return _Sent(recent, [at for at in sent if _is_recent(at, now)])
    except (OSError, ValueError, KeyError, TypeError):
        return _Sent({}, [])


def _is_recent(at: str, now: datetime) -> bool:
    return now - datetime.fromisoformat(at) < _AGAIN
