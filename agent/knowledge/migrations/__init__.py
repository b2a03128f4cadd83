"""Alembic's environment for the knowledge base; run by `agent.knowledge.database.connection`, never by hand."""
