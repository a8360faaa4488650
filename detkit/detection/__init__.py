"""Detectors and their parts.

Importing this package asks TensorFlow to run one operation at a time (each on all cores). Operations that share the
threads split their sums differently from run to run, and then the same seed no longer gives the same weights.
"""

from __future__ import annotations

import tensorflow as tf

try:
    tf.config.threading.set_inter_op_parallelism_threads(1)
except RuntimeError:  # TensorFlow has run already: its threads stay as its user wanted them
    pass
