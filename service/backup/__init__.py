"""Backups, their restoration, and the removal of what nobody needs any more."""
