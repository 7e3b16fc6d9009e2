"""FastAPI with the fitted scikit-learn forest itself, on one thread."""

from __future__ import annotations

import skops.io
from fastapi import FastAPI

from benchmarks.contestants.rows import Request, answers, matrix, model_path

model = skops.io.load(model_path(), trusted=skops.io.get_untrusted_types(file=model_path()))
app = FastAPI()


@app.post("/predict")
async def predict(request: Request):
    """Classes and probabilities."""
    return answers(model.predict_proba(matrix(request.rows)))
