"""Each Airflow task is a process that pays for its imports, so loading must not import training."""

import subprocess
import sys

HEAVY = ("matplotlib", "mlflow", "onnxruntime", "skl2onnx", "skops")


def test_loading_and_preprocessing_import_nothing_of_training():
    program = f"import sys, readmission_data.tasks; print(*sorted({set(HEAVY)!r} & set(sys.modules)))"
    imported = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert imported.stdout.split() == []
