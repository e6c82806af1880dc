"""A generated sample that replaces a missing data set; see `sample`."""

from readmission_data.dataset.synthetic.sample import ENCOUNTERS, SEED, sample, write

__all__ = ["ENCOUNTERS", "SEED", "sample", "write"]
