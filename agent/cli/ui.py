"""`alphaglow ui`."""

from __future__ import annotations

import socket

import click

from agent.cli.common import stderr, workspace_of
from market.errors import InputError

COMMANDS = {"ui": ("ui", 105, "Show the workspace in a browser: runs, factors, pools, data.")}

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--token", help="What a browser has to show; needed (and made, if not given) at other addresses than loopback."
)
@click.option("--read-only", is_flag=True, help="Show only: nothing can be started, stopped or written.")
@click.pass_context
def ui(ctx: click.Context, host: str, port: int, token: str | None, read_only: bool) -> None:
    """Serve the workspace to a browser on this machine.

    A run that is started there is a process of its own: it goes on when the browser or this server is closed. Only
    this machine is answered, unless --host says otherwise; then every request needs the token.
    """
    try:
        import fastapi  # noqa: F401 - whether the extra is there
        import uvicorn
    except ImportError as error:
        raise InputError("the pages need FastAPI and uvicorn", "pip install 'alphaglow[web]'") from error
    import secrets

    from agent.web.guard import LOOPBACK, Access
    from agent.web.site import make_app

    workspace = workspace_of(ctx)
    with workspace.knowledge():
        # One of a newer revision, or a damaged one, is refused here and not page by page.
        pass
    away = host not in _LOOPBACK
    shown = token or (secrets.token_urlsafe(16) if away else "")
    names = (*LOOPBACK, host, f"[{host}]") if host not in ("0.0.0.0", "::") else (*LOOPBACK, *_own_names())
    app = make_app(workspace, Access(names, shown, read_only))
    listening = _listen(host, port)
    place = f"http://{f'[{host}]' if ':' in host else host}:{port}/" + (f"?token={shown}" if shown else "")
    stderr().print(
        f"{workspace.root} at {place}  (Ctrl-C ends the server; a run goes on)", soft_wrap=True, markup=False
    )
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; a port that is taken is refused in a sentence."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        # Who opens the address as soon as it is printed waits for the first page, and is not refused.
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise InputError(
            f"cannot listen at {host}:{port}: {error.strerror}", f"choose another port: alphaglow ui --port {port + 1}"
        ) from error
    return listening


def _own_names() -> tuple[str, ...]:
    """Return the names by which this machine may be asked where it listens at all its addresses."""
    name = socket.gethostname()
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(name, None)}
    except OSError:
        addresses = set()
    return (name, socket.getfqdn(), *addresses)
