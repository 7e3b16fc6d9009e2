"""Our own estimators that a bundle can load: `fit` and `predict`, plain numpy attributes, `emit` for ONNX."""
