"""The errors of the load test. Each message is one line that a person can act on."""


class LoadTestError(Exception):
    """The load test cannot start."""
