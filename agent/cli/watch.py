"""`alphaglow watch`: whether what was admitted still pays, on the bars that came since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from agent.cli.common import (
    data_option,
    format_number,
    json_option,
    print_json,
    progress_bar,
    stdout,
    text_table,
    workspace_of,
)
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from agent.evidence.watching import Watched
    from agent.knowledge.watch_records import WatchRecord
    from agent.study.workspace import Workspace

COMMANDS = {"watch": ("watch", 145, "Whether what was admitted still pays, on the bars since.")}
_SCHEDULES = {
    "cron": "# every hour, five minutes after it; add it with: crontab -e\n5 * * * * {command}",
    "systemd": (
        "# ~/.config/systemd/user/alphaglow.service\n[Unit]\nDescription=alphaglow: new bars, and what was admitted\n"
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c '{command}'\n\n"
        "# ~/.config/systemd/user/alphaglow.timer\n[Timer]\nOnCalendar=*-*-* *:05:00\nPersistent=true\n"
        "[Install]\nWantedBy=timers.target\n\n"
        "# systemctl --user daemon-reload; systemctl --user enable --now alphaglow.timer"
    ),
}


@click.command()
@data_option
@click.option("--history", metavar="FACTOR", help="Instead: every state that this factor or pool was found in.")
@click.option(
    "--schedule",
    type=click.Choice(sorted(_SCHEDULES)),
    help="Instead: print what makes a machine update and watch every hour. Nothing is written.",
)
@click.option("--test-alert", is_flag=True, help="Instead: send an alert that says nothing, to see whether it arrives.")
@json_option
@click.pass_context
def watch(
    ctx: click.Context,
    data_name: str | None,
    history: str | None,
    schedule: str | None,
    test_alert: bool,
    as_json: bool,
) -> None:
    """Look whether accepted and promising factors and pools still pay, on the bars that came since.

    Each is scored under its recorded rules against the band that it was admitted with: fresh, aging (it pays less than
    the lower end), failing (it loses after costs), or stale data. One that still pays is called aging, or failing, by
    mistake once in 100 years. It spends no trial and steers no search. `alphaglow data update` does it by itself. What
    is aging or failing, and data that are stale, are said to the services that ALPHAGLOW_ALERTS names.
    """
    from agent.evidence.watching import watch as look

    workspace = workspace_of(ctx)
    if schedule is not None:
        click.echo(schedule_text(schedule, workspace))
        return
    if test_alert:
        from agent.live.alerts import send_test

        send_test(workspace)
        stdout().print("It was sent.")
        return
    if history is not None:
        _show_history(workspace, history, as_json=as_json)
        return
    with workspace.knowledge() as knowledge:
        knowledge.require_writable()
    with workspace.knowledge() as knowledge, progress_bar() as bar:
        task = bar.add_task("watching", total=None)
        found = look(
            workspace,
            knowledge,
            data_name,
            note=say,
            show=lambda what, done, of: bar.update(task, description=what, completed=done, total=of),
        )
    alert_watched(workspace, found)
    if as_json:
        print_json(found.to_dict())
        return
    print_watched(found)


def alert_watched(workspace: Workspace, found: Watched) -> None:
    """Say to people's services what is aging or failing since the last check, and data that are stale."""
    from agent.live.alerts import Alert, send_alerts

    alerts = [
        Alert(
            "aging", f"{one.subject} {one.state}", f"{one.kind} {_short(one)} on {one.data} is {one.state}: {one.why}"
        )
        for one in found.changed
        if one.state in ("aging", "failing")
    ]
    stale = sorted({one.data for one in found.changed if one.stale})
    alerts += [Alert("data stale", data, f"the data {data} are stale: no new bar came") for data in stale]
    send_alerts(workspace, alerts, say)


def schedule_text(kind: str, workspace: Workspace) -> str:
    """Return a cron line or a systemd timer that updates and watches a workspace every hour."""
    import shlex
    import sys

    place = shlex.quote(str(workspace.root.resolve()))
    command = f"{shlex.quote(sys.executable)} -m agent -w {place} data update"
    return _SCHEDULES[kind].format(command=command)


def print_watched(found: Watched) -> None:
    """Print what a check found: the worst first."""
    from agent.evidence.watching import FALSE_ALARM_YEARS

    out = stdout()
    if not found.records:
        out.print("Nothing was accepted or found promising here yet: there is nothing to watch.")
        return
    out.print(_table("Watched", _worst_first(found.records)))
    for one in found.records:
        if one.why:
            out.print(f"{_short(one)}: {one.why}", soft_wrap=True, markup=False)
    out.print(
        "Sharpe ratios of even risk a year, before costs (pays) and after (earns), beside the lower end of what it was "
        f"admitted with. What still pays as much is called aging, or failing, once in {FALSE_ALARM_YEARS:g} years.",
        soft_wrap=True,
    )


def _worst_first(records: Sequence[WatchRecord]) -> list[WatchRecord]:
    order = ("failing", "aging", "fresh", "not watched")
    return sorted(records, key=lambda one: (order.index(one.state), one.data, one.subject))


def _short(one: WatchRecord) -> str:
    return one.name or one.subject.split(":")[-1][:10] if one.kind == "pool" else one.subject.split(":")[-1][:10]


def _table(title: str, records: Sequence[WatchRecord]) -> Table:
    rows = [
        [
            _short(one),
            one.data,
            one.verdict,
            one.admitted[:10],
            one.word if one.word == one.state else f"{one.word} ({one.state} to {one.end[:10] or 'then'})",
            f"{one.bars:,}",
            *(format_number(one.figure(f"{name}_{which}")) for name in ("payoff", "net") for which in ("low", "came")),
        ]
        for one in records
    ]
    columns = ["what", "data", "verdict", "on", "state", "new bars", "pays ≥", "pays", "earns ≥", "earns"]
    return text_table(title, columns, rows, left=5)


def _show_history(workspace: Workspace, what: str, *, as_json: bool) -> None:
    with workspace.knowledge() as knowledge:
        pool = knowledge.find_pool(what)
        subject = pool.id if pool is not None else knowledge.get_factor(what).factor_id
        found = knowledge.watch_history(subject)
    if not found:
        raise InputError(f"{subject} was never watched", "alphaglow watch looks at what is accepted or promising")
    if as_json:
        print_json([one.to_dict() for one in found])
        return
    rows = [
        [one.checked[:16], one.data, one.word, one.end[:16], f"{one.bars:,}", format_number(one.figure("net_came"))]
        for one in found
    ]
    columns = ["checked", "data", "state", "to", "new bars", "earns"]
    stdout().print(text_table(subject, columns, rows, left=4))
