"""Where model versions come from: the registry, the checks and the copy on disk."""
