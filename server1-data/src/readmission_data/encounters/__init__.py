"""The definition of an encounter: its columns, their types, levels and ranges."""
