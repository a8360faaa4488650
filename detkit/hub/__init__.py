"""Detectors that come as finished graphs: SavedModels, TensorFlow Lite and ONNX files, of detkit or from elsewhere."""
