"""What can be wrong with a registration."""

from readmission_data.errors import ReadmissionDataError


class RegistryError(ReadmissionDataError):
    """A version that cannot be registered, read or moved."""


class ParityError(RegistryError):
    """A graph that does not compute what its estimator computes."""
