"""The request of the contestants that serve: twenty numbers per row, checked by Pydantic."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, create_model

NAMES = tuple(f"feature_{number:02}" for number in range(1, 21))
CLASSES = ("class_0", "class_1")
Row = create_model("Row", **dict.fromkeys(NAMES, (float, ...)))


class Request(BaseModel):
    """The rows of one request."""

    rows: list[Row]


def model_path() -> str:
    """The file that a contestant serves."""
    return os.environ["CONTESTANT_MODEL"]


def matrix(rows: list[Row]) -> npt.NDArray[np.float64]:
    """The model's input of shape (n_rows, 20)."""
    return np.array([[getattr(row, name) for name in NAMES] for row in rows])


def answers(shares: npt.NDArray[np.float64]) -> dict[str, list[dict[str, object]]]:
    """What the contestants answer: per row its class and the probabilities."""
    return {
        "predictions": [
            {"prediction": CLASSES[second > first], "probabilities": {"class_0": first, "class_1": second}}
            for first, second in shares.tolist()
        ]
    }
