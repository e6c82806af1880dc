"""Replays patients of the test split as traffic of the inference API, with what became of them following."""
