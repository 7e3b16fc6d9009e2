"""From an opened bundle to a predictor that is known to answer as it did."""

from __future__ import annotations

from perennial.live import golden
from perennial.live.bundle import Bundle
from perennial.live.models import Model, OnnxModel, SkopsModel
from perennial.live.predict import Predictor


def load_predictor(bundle: Bundle, replay: bool = True) -> Predictor:
    """A predictor that answered the golden rows as it did when it was built; else raises BundleError.

    Raises MissingLayerError where the model has no ONNX form and scikit-learn is not installed.
    """
    model: Model = (
        OnnxModel(bundle.read("model.onnx"))
        if bundle.manifest.backend == "onnx"
        else SkopsModel(bundle.read("model.skops"), len(bundle.rule.classes))
    )
    predictor = Predictor(bundle, model)
    if replay:
        golden.replay(predictor, bundle.golden)
    return predictor
