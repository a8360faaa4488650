"""Heads: feature maps in, box encodings and class logits out."""
