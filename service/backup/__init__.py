"""Backup, restore, and pruning of files that are no longer needed."""
