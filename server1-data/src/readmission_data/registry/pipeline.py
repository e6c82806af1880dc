"""The module path of `FeatureEncoder` in older stored models.

skops rebuilds a model's types by module path. A version that was registered before `FeatureEncoder` moved to
`readmission_data.model_version.pipeline` names this module.
"""

from readmission_data.model_version.pipeline import FeatureEncoder

__all__ = ["FeatureEncoder"]
