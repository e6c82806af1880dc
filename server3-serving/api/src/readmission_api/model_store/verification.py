"""What a version's files must prove before the version may serve."""

import hashlib
import json
from pathlib import Path
from typing import Final

from readmission_api.errors import ModelRefusedError, PatientRefusedError
from readmission_api.predictor import schema as input_schema
from readmission_api.predictor.predictor import ModelVersion, Predictor, check_golden_rows, read_file

MANIFEST: Final = "manifest.json"
SCHEMA: Final = "input_schema.json"
GOLDEN_ROWS: Final = "golden_rows.json"
MODEL_CARD: Final = "model_card.md"
_WARM_UP_ROUNDS: Final = 20
_WARM_UP_SIZES: Final = (1, 2, 8, 32)


def verify_manifest(folder: Path, manifest_sha256: str) -> tuple[str, ...]:
    """Check the manifest against the registry's hash and each file against the manifest.

    Return the names of the files. Raise `ModelRefusedError` if one differs.
    """
    manifest = read_file(folder, MANIFEST)
    if hashlib.sha256(manifest).hexdigest() != manifest_sha256:
        raise ModelRefusedError("hash", f"{MANIFEST} is not the one that was registered")
    try:
        files = json.loads(manifest)
    except ValueError:
        raise ModelRefusedError("files", f"{MANIFEST} is no JSON") from None
    if not isinstance(files, dict):
        raise ModelRefusedError("files", f"{MANIFEST} is not a list of files")
    for name, sha256 in files.items():
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise ModelRefusedError("files", f"{MANIFEST} names a file outside of the version")
        if hashlib.sha256(read_file(folder, name)).hexdigest() != sha256:
            raise ModelRefusedError("hash", f"{name} is not the file that was registered")
    return tuple(files)


def load(folder: Path, version: ModelVersion) -> Predictor:
    """Load a version that is ready to serve: hashes right, golden rows right, warm.

    Raise `ModelRefusedError` if it must not serve.
    """
    files = verify_manifest(folder, version.manifest_sha256)
    schema_text = read_file(folder, SCHEMA)
    schema = input_schema.parse(schema_text)
    for name in (schema.graph.file, SCHEMA, GOLDEN_ROWS, MODEL_CARD):
        if name not in files:
            raise ModelRefusedError("files", f"{MANIFEST} does not vouch for {name}")
    predictor = Predictor(
        version,
        schema,
        read_file(folder, schema.graph.file),
        schema_text=schema_text,
        card=read_file(folder, MODEL_CARD).decode("utf-8", "replace"),
    )
    check_golden_rows(predictor, read_file(folder, GOLDEN_ROWS))
    _check_schema_examples(predictor)
    _warm_up(predictor)
    return predictor


def _check_schema_examples(predictor: Predictor) -> None:
    for example in predictor.schema.examples:
        try:
            predictor.score([predictor.patients.read_value(example.patient)])
        except PatientRefusedError as error:
            raise ModelRefusedError("schema", "the schema refuses one of its own examples") from error


def _warm_up(predictor: Predictor) -> None:
    for size in _WARM_UP_SIZES:
        for _ in range(_WARM_UP_ROUNDS):
            predictor.score([predictor.patients.reference] * size)
