"""BentoML's own way: a service class with an API, ONNX Runtime on one thread, and its default settings."""

from __future__ import annotations

from typing import Any

import bentoml
import onnxruntime

from benchmarks.contestants.rows import Row, answers, matrix, model_path


@bentoml.service(name="plain")
class Plain:
    """Classes and probabilities."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model_path(), options, providers=["CPUExecutionProvider"])

    @bentoml.api
    def predict(self, rows: list[Row]) -> dict[str, Any]:
        """Classes and probabilities of the rows."""
        return answers(self.session.run(["raw"], {"x": matrix(rows)})[0])
