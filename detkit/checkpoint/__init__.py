"""Checkpoints of the OD API's kind: reading, writing, and surgery."""
