"""The half of the graph that skl2onnx writes: from features to the probability of readmission.

It computes in double precision. Trees compare a feature with a threshold that no float32 may hold, and add up
hundreds of leaves: in single precision a probability came out up to 9.5e-7 off, with 1e-6 allowed.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
import onnx
from lightgbm import LGBMClassifier
from onnx import TensorProto, helper
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.ensemble import VotingClassifier

from readmission_data.registry.errors import RegistryError

_Graph = tuple[list[onnx.NodeProto], list[onnx.TensorProto]]


class ConversionError(RegistryError):
    """An estimator that has no ONNX counterpart."""


@cache
def _register_lightgbm() -> None:
    update_registered_converter(
        LGBMClassifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        convert_lightgbm,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"], "raw_scores": [True, False]},
    )


def _needed(graph: onnx.GraphProto, output: str) -> list[onnx.NodeProto]:
    """Return the nodes that `output` depends on, in order: the predicted label is dropped."""
    wanted = {output}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


def _single(estimator: object, width: int, features: str, risk: str, opsets: Mapping[str, int]) -> _Graph:
    """Convert one estimator: `features` double [N, width] to `risk` double [N], the second class's column."""
    _register_lightgbm()
    try:
        converted = to_onnx(
            estimator,
            initial_types=[("features", DoubleTensorType([None, width]))],
            options={"zipmap": False},
            target_opset=dict(opsets),
        )
    except (MissingConverter, MissingShapeCalculator, NotImplementedError) as error:
        raise ConversionError(f"{type(estimator).__name__} does not convert to ONNX") from error
    own = f"{risk}_of_"
    graph = onnx.compose.add_prefix(converted, own).graph
    both = next(output.name for output in graph.output if output.name.endswith("probabilities"))
    column = f"{own}second_class"
    nodes = [
        helper.make_node("Identity", [features], [graph.input[0].name]),
        *_needed(graph, both),
        helper.make_node("Gather", [both, column], [f"{own}column"], axis=1),
        # Tree ensembles add up in double and answer in float.
        helper.make_node("Cast", [f"{own}column"], [risk], to=TensorProto.DOUBLE),
    ]
    read = {name for node in nodes for name in node.input}
    constants = [constant for constant in graph.initializer if constant.name in read]
    return nodes, [*constants, helper.make_tensor(column, TensorProto.INT64, [], [1])]


def _blend(
    voting: VotingClassifier, width: int, features: str, risk: str, opsets: Mapping[str, int]
) -> _Graph:
    """Convert a soft vote: the weighted mean of its members' risks.

    Its own converter in skl2onnx mixes float and double.
    """
    if voting.voting != "soft":
        raise ConversionError("a vote by labels gives no probability: voting must be soft")
    weights = np.ones(len(voting.estimators_)) if voting.weights is None else np.array(voting.weights, float)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    shares = []
    for number, (member, weight) in enumerate(zip(voting.estimators_, weights / weights.sum(), strict=True)):
        name = f"member_{number}"
        member_nodes, member_constants = _single(member, width, features, name, opsets)
        nodes += [*member_nodes, helper.make_node("Mul", [name, f"{name}_weight"], [f"{name}_share"])]
        constants += [
            *member_constants,
            helper.make_tensor(f"{name}_weight", TensorProto.DOUBLE, [], [weight]),
        ]
        shares.append(f"{name}_share")
    return [*nodes, helper.make_node("Sum", shares, [risk])], constants


def convert(
    estimator: object, width: int, features: str, probability: str, opsets: Mapping[str, int]
) -> onnx.GraphProto:
    """Return the nodes from `features` float32 [N, width] to `probability` float32 [N].

    `estimator` is a fitted binary classifier; a soft vote becomes the mean of its members. Raises
    ConversionError where skl2onnx knows no converter.
    """
    exact, risk = "features_in_double", "risk"
    part = _blend if isinstance(estimator, VotingClassifier) else _single
    nodes, constants = part(estimator, width, exact, risk, opsets)
    nodes.insert(0, helper.make_node("Cast", [features], [exact], to=TensorProto.DOUBLE))
    nodes.append(helper.make_node("Cast", [risk], [probability], to=TensorProto.FLOAT))
    return helper.make_graph(nodes, "estimator", [], [], constants)
