"""Migrations of the database, with Alembic."""
