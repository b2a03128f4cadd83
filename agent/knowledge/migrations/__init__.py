"""Alembic's environment for the knowledge base; run by `agent.knowledge.engine`, never by hand."""
