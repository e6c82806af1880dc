"""The error of the demo."""


class DemoError(Exception):
    """The demo cannot continue; the message is one line that the user can act on."""
