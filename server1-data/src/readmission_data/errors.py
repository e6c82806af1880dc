"""The errors of server 1.

Each message is one line that a person can act on, and holds no patient's values.
"""


class ReadmissionDataError(Exception):
    """Something that the person who runs the system can mend."""
