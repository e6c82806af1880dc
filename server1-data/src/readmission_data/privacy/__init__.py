"""How long patients' data is kept, and how one patient's is erased."""
