"""From a fitted estimator to a file that serves: skops, ONNX, and the gate between the two."""
