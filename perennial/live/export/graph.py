"""An ONNX graph under construction."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class UnsupportedError(Exception):
    """This part of a model has no exact form here; the reason is the message."""


class Graph:
    """The nodes and constants of a graph under construction."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def tensor(self, values: npt.NDArray[Any], name: str = "") -> Any:
        """An ONNX tensor of numpy values."""
        from onnx import numpy_helper

        return numpy_helper.from_array(np.ascontiguousarray(values), name)

    def constant(self, values: Any) -> str:
        """The name of a new constant; floats are float64."""
        name = f"c{len(self.constants)}"
        self.constants.append(self.tensor(np.asarray(values), name))
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """The name of the only output of a new node."""
        from onnx import helper

        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def cast(self, x: str, kind: str) -> str:
        """`x` as another type (`FLOAT`, `DOUBLE`, `BOOL`)."""
        from onnx import TensorProto

        return self.op("Cast", x, to=getattr(TensorProto, kind))
