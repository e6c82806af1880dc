"""The data set: a file that is found, downloaded or generated, and always identified."""

from readmission_data.dataset.file import DatasetFile, Kind
from readmission_data.dataset.locate import find
from readmission_data.errors import DatasetError

__all__ = ["DatasetError", "DatasetFile", "Kind", "find"]
