"""Run the migrations on the connection that `agent.knowledge.database.connection` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from agent.knowledge.database.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite changes most things about a table only by making it again.
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
