"""Backups of MySQL and of the artifacts into an object store, and restores."""
