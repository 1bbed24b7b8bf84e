"""Revisions of the schema, one file per revision."""
