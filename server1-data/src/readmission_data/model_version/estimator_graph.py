"""The half of the graph that skl2onnx writes: from features to the probability of readmission.

It computes in double precision. Trees compare a feature with thresholds that float32 cannot represent, and
add up hundreds of leaves: in single precision, probabilities were off by up to 9.5e-7, with 1e-6 allowed.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

import onnx
from lightgbm import LGBMClassifier
from onnx import TensorProto, helper
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

from readmission_data.errors import ConversionError

_PREFIX: Final = "estimator_"


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


def convert(
    estimator: object, width: int, features: str, probability: str, opsets: Mapping[str, int]
) -> onnx.GraphProto:
    """Return the nodes from `features` float32 [N, width] to `probability` float32 [N].

    `estimator` is a fitted binary classifier; its risk is the second class's probability. Raise
    `ConversionError` if skl2onnx has no converter for it.
    """
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
    graph = onnx.compose.add_prefix(converted, _PREFIX).graph
    both = next(output.name for output in graph.output if output.name.endswith("probabilities"))
    column, risk = f"{_PREFIX}second_class", f"{_PREFIX}risk"
    nodes = [
        helper.make_node("Cast", [features], [graph.input[0].name], to=TensorProto.DOUBLE),
        *_needed(graph, both),
        helper.make_node("Gather", [both, column], [risk], axis=1),
        helper.make_node("Cast", [risk], [probability], to=TensorProto.FLOAT),
    ]
    read = {name for node in nodes for name in node.input}
    constants = [constant for constant in graph.initializer if constant.name in read]
    constants.append(helper.make_tensor(column, TensorProto.INT64, [], [1]))
    return helper.make_graph(nodes, "estimator", [], [], constants)
