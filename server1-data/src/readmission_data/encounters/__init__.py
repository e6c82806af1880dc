"""What an encounter is: its columns, their types, levels and ranges."""
