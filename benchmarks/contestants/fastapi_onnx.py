"""Bare FastAPI with ONNX Runtime on one thread, as its documentation would have it."""

from __future__ import annotations

import onnxruntime
from fastapi import FastAPI

from benchmarks.contestants.rows import Request, answers, matrix, model_path

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(model_path(), options, providers=["CPUExecutionProvider"])
app = FastAPI()


@app.post("/predict")
async def predict(request: Request):
    """Classes and probabilities."""
    return answers(session.run(["raw"], {"x": matrix(request.rows)})[0])
