"""Build the ONNX graph of a model: from the fields of a patient, as written in the CSV, to the risk.

The first half is assembled here from the encoding's tables, the second half by skl2onnx from the estimator:

    categorical [N, M] -> "field=text", ICD-9 codes also cut at the point -> ids, those of ICD-9 groups too
    -> codes of keys -> rows of the level tables
    numeric [N, K] @ weights + the sum of those rows -> features [N, F] -> estimator -> probability [N]

All level tables are stacked into one, so that one look-up serves all keys: a graph with one input and one
look-up per field took four times as long for one row.
"""

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from readmission_data.clean.encoding import Encoding
from readmission_data.model_version import estimator_graph, key_codes
from readmission_data.model_version.key_codes import Int64Array, KeyCodes

NUMERIC: Final = "numeric"
CATEGORICAL: Final = "categorical"
PROBABILITY: Final = "probability"

_ML_DOMAIN: Final = "ai.onnx.ml"

OPSETS: Final = {"": 20, _ML_DOMAIN: 3}
"""20 is the first version with StringConcat and StringSplit."""

IR_VERSION: Final = 9

_NO_ROW: Final = -1

_Attribute: TypeAlias = Any
"""The attributes that onnx.helper accepts: a number, a text or a list of either."""


@dataclass
class _Nodes:
    """Nodes and constants of the half that is assembled here."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, inputs: list[str], output: str, **attributes: _Attribute) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def joined(self, columns: list[str], output: str) -> str:
        """Concatenate matrices [N, ...] along their columns."""
        return columns[0] if len(columns) == 1 else self.add("Concat", columns, output, axis=1)

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name


def _stems(graph: _Nodes, named: str, columns: Int64Array) -> str:
    """Add the nodes that cut some columns of `field=text` at the point: `field=stem` [N, columns]."""
    codes = graph.add("Gather", [named, graph.constant("stem_columns", columns)], "codes", axis=1)
    # With its prefix no text is empty, so each has a first part even if the value is "" or ".5".
    graph.nodes.append(
        helper.make_node("StringSplit", [codes], ["code_parts", "code_part_counts"], "split", delimiter=".")
    )
    bounds = [graph.constant(name, np.array([value])) for name, value in (("from", 0), ("to", 1), ("at", 2))]
    first = graph.add("Slice", ["code_parts", *bounds], "first_parts")
    # Without rows there is no part to slice, so the shape must come from N itself.
    return graph.add("Reshape", [first, graph.constant("stems_shape", np.array([0, len(columns)]))], "stems")


def _ids(graph: _Nodes, codes: KeyCodes) -> str:
    """Add the nodes that compute the ids [N, parts] of a row's texts, stems and groups."""
    fields = codes.encoding.categorical
    prefixes = np.array([[f"{name}=" for name in fields]], dtype=object)
    named = graph.add("StringConcat", [graph.constant("prefixes", prefixes), CATEGORICAL], "named")
    texts = []
    if codes.texts == fields:
        texts.append(named)
    elif codes.texts:
        as_they_are = graph.constant("text_columns", np.array([fields.index(name) for name in codes.texts]))
        texts.append(graph.add("Gather", [named, as_they_are], "texts", axis=1))
    if codes.stems:
        texts.append(_stems(graph, named, np.array([fields.index(name) for name in codes.stems])))
    ids = graph.add(
        "LabelEncoder",
        [graph.joined(texts, "looked_up")],
        "ids",
        domain=_ML_DOMAIN,
        keys_strings=list(codes.ids),
        values_int64s=list(codes.ids.values()),
        default_int64=key_codes.UNKNOWN,
    )
    if not codes.groups:
        return ids
    columns = np.array([len(codes.texts) + codes.stems.index(name) for name in codes.groups])
    stems = graph.add("Gather", [ids, graph.constant("group_columns", columns)], "stem_ids", axis=1)
    groups = graph.add("Gather", [graph.constant("group_of_id", codes.group_of_id), stems], "groups", axis=0)
    return graph.joined([ids, groups], "part_ids")


def _contributions(graph: _Nodes, encoding: Encoding) -> str:
    """Add the nodes that look up each key's row [N, keys, F] and sum the rows [N, F]."""
    codes = KeyCodes(encoding)
    weighed = graph.add(
        "MatMul", [_ids(graph, codes), graph.constant("part_weights", codes.weights)], "crossed"
    )
    keyed = graph.add(
        "Add", [weighed, graph.constant("key_offsets", codes.offsets[np.newaxis, :])], "key_codes"
    )
    levels = codes.codes()
    row = graph.add(
        "LabelEncoder",
        [keyed],
        "row_or_unknown",
        domain=_ML_DOMAIN,
        keys_int64s=levels.tolist(),
        values_int64s=list(range(len(levels))),
        default_int64=_NO_ROW,
    )
    known = [table[:-1] for table in encoding.tables]
    unknown = np.array([table[-1] for table in encoding.tables])
    table = graph.constant("level_table", np.vstack([*known, unknown]).astype(np.float32))
    unknown_rows = graph.constant("unknown_rows", len(levels) + np.arange(len(unknown))[np.newaxis, :])
    is_unknown = graph.add("Less", [row, graph.constant("zero", np.array([0]))], "is_unknown")
    rows = graph.add("Where", [is_unknown, unknown_rows, row], "rows")
    gathered = graph.add("Gather", [table, rows], "contributions", axis=0)
    axis = graph.constant("keys_axis", np.array([1]))
    return graph.add("ReduceSum", [gathered, axis], "categorical_sum", keepdims=0)


def _features(graph: _Nodes, encoding: Encoding) -> str:
    """Add the nodes that compute the features [N, F], equal to those of `Encoding.transform`."""
    parts = [_contributions(graph, encoding)] if encoding.keys else []
    if encoding.numeric:
        weights = graph.constant("numeric_weights", encoding.weights)
        parts.append(graph.add("MatMul", [NUMERIC, weights], "numeric_sum"))
    return parts[0] if len(parts) == 1 else graph.add("Add", parts, "features")


def _inputs(encoding: Encoding) -> list[onnx.ValueInfoProto]:
    inputs = []
    if encoding.numeric:
        shape: list[str | int | None] = ["N", len(encoding.numeric)]
        inputs.append(helper.make_tensor_value_info(NUMERIC, TensorProto.FLOAT, shape))
    if encoding.categorical:
        shape = ["N", len(encoding.categorical)]
        inputs.append(helper.make_tensor_value_info(CATEGORICAL, TensorProto.STRING, shape))
    return inputs


def build(encoding: Encoding, estimator: object) -> onnx.ModelProto:
    """Return the graph of an encoding and the estimator that was trained on its features.

    Inputs: `numeric` float32 [N, K] and `categorical` string [N, M], columns as in `encoding.numeric` and
    `encoding.categorical`; output: `probability` float32 [N]. Raise `ConversionError` if the estimator has no
    converter. `parity` checks that the graph computes the same numbers.
    """
    graph = _Nodes()
    features = _features(graph, encoding)
    tail = estimator_graph.convert(estimator, len(encoding.features), features, PROBABILITY, OPSETS)
    model = helper.make_model(
        helper.make_graph(
            [*graph.nodes, *tail.node],
            "readmission_within_30_days",
            _inputs(encoding),
            [helper.make_tensor_value_info(PROBABILITY, TensorProto.FLOAT, ["N"])],
            [*graph.constants, *tail.initializer],
        ),
        opset_imports=[helper.make_opsetid(*opset) for opset in OPSETS.items()],
        ir_version=IR_VERSION,
        producer_name="readmission_data",
    )
    onnx.checker.check_model(model, full_check=True)
    return model
