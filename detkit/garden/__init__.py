"""The bridge to tf-models-official: its detectors with detkit's data, training, evaluation and prediction.

`tf_keras` and `official` are imported when a model of theirs is built, and not before.
"""
