"""Backbones: images in, feature maps at falling resolution out."""
