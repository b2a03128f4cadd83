"""`alphaglow kb roles`: who may do what with a knowledge base on a PostgreSQL server."""

from __future__ import annotations

import click

from agent.cli.common import json_option, print_json, stdout, workspace_of


@click.command()
@click.option("--apply", "apply", is_flag=True, help="Run the script, as the user of the knowledge base's URL.")
@click.option("--prefix", default="alphaglow", show_default=True, metavar="NAME", help="How the roles' names begin.")
@json_option
@click.pass_context
def roles(ctx: click.Context, prefix: str, *, apply: bool, as_json: bool) -> None:
    """Print the SQL script that makes three roles on a PostgreSQL server: reader, researcher, owner of the holdout.

    A reader reads all. A researcher runs, evaluates and notes, and cannot take away what was tried. The owner of the
    holdout may also open it. Who owns the tables runs the script, and runs it again after a new version of alphaglow
    has opened the base. Merging and importing are left to that user.
    """
    from dataclasses import asdict

    from agent.knowledge.server_roles import apply_grants, grant_script, grant_statements, role_names

    if not apply:
        if as_json:
            print_json({**asdict(role_names(prefix)), "statements": grant_statements(prefix)})
        else:
            click.echo(grant_script(prefix))
        return
    with workspace_of(ctx).knowledge() as knowledge:
        place = knowledge.place
    names = apply_grants(place, prefix)
    if as_json:
        print_json(asdict(names))
        return
    stdout().print(f"{names.reader} reads, {names.researcher} runs and evaluates, {names.owner} may open the holdout")
    stdout().print(f"give one to a person: CREATE USER ann PASSWORD '...' IN ROLE {names.researcher};", markup=False)
