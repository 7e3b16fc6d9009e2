"""A fitted model as files: skops for what scikit-learn runs, ONNX for what runs anywhere."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from perennial.live.export.graph import Graph, UnsupportedError
from perennial.live.export.operators import emit
from perennial.live.skops_io import skops_io

OPSET, ML_OPSET, IR_VERSION = 18, 5, 10  # what ONNX Runtime 1.23, the oldest one allowed, understands


def to_skops(estimator: Any, path: Path) -> None:
    """Write `estimator` as a skops file, the same bytes for the same model."""
    path.write_bytes(_stable_skops(skops_io().dumps(estimator)))


def _stable_skops(data: bytes) -> bytes:
    """A skops file without what differs from dump to dump of one model.

    Object ids are memory addresses: they are replaced by their order of appearance. Records (the nodes of a
    tree) have padding between their fields that nothing initialises: it is set to zero.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        schema = source.read("schema.json").decode()
        order: dict[str, str] = {}
        pattern = re.compile(r'("__id__": |"file": ")(\d+)')
        schema = pattern.sub(lambda found: found[1] + order.setdefault(found[2], str(len(order) + 1)), schema)
        members = {
            re.sub(r"^\d+", lambda found: order[found[0]], name): _padded_with_zeros(source.read(name))
            for name in source.namelist()
            if name != "schema.json"
        }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, content in [*sorted(members.items()), ("schema.json", schema.encode())]:
            packed.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, compresslevel=1)
    return target.getvalue()


def _padded_with_zeros(data: bytes) -> bytes:
    """The bytes of an array file; an array of records is written again with zeros between its fields."""
    if not data.startswith(b"\x93NUMPY") or b"'descr': [" not in data[:64]:
        return data
    records = np.load(io.BytesIO(data), allow_pickle=False)
    clean = np.zeros(records.shape, records.dtype)
    for name in records.dtype.names:
        clean[name] = records[name]
    target = io.BytesIO()
    np.save(target, clean, allow_pickle=False)
    return target.getvalue()


def to_onnx(estimator: Any, n_features: int, path: Path) -> str:
    """Write `estimator` as an ONNX file; returns "" or the reason why there is none.

    The file has one input `x` of shape (n_rows, n_features) and one output: probabilities
    (n_rows, n_classes), or numbers (n_rows, 1). Models of known parts are converted here, in float64 from end
    to end; anything else goes through skl2onnx in float32. Whether the result may serve, the parity gate
    decides.
    """
    try:
        path.write_bytes(_own(estimator, n_features))
    except UnsupportedError as unsupported:
        return _skl2onnx(estimator, n_features, path, str(unsupported))
    return ""


def _own(estimator: Any, n_features: int) -> bytes:
    from onnx import TensorProto, helper

    graph = Graph()
    output = emit(graph, estimator, "x")
    graph.nodes.append(helper.make_node("Identity", [output], ["raw"]))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "model",
            [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, n_features])],
            [helper.make_tensor_value_info("raw", TensorProto.DOUBLE, [None, None])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        ir_version=IR_VERSION,
        producer_name="perennial",
    )
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _skl2onnx(estimator: Any, n_features: int, path: Path, unsupported: str) -> str:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    classifier = hasattr(estimator, "classes_")
    try:
        model = convert_sklearn(
            estimator,
            initial_types=[("x", FloatTensorType([None, n_features]))],
            options={id(estimator): {"zipmap": False}} if classifier else None,
            target_opset={"": OPSET, "ai.onnx.ml": 3},
        )
    except Exception as failure:  # noqa: BLE001  skl2onnx raises whatever its converters meet
        reason = (str(failure).strip().splitlines() or [""])[0]
        return f"no exact conversion for {unsupported}; skl2onnx: {type(failure).__name__}: {reason[:200]}"
    model = select_model_inputs_outputs(model, model.graph.output[-1].name)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return ""
