"""Run by Alembic, over the connection that :mod:`serve_app.database.schema` gives it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
