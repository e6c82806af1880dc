"""One model version in memory: its schema, its reader of patients and its graph."""
