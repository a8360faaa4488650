"""Necks: backbone feature maps in, the maps that the head reads out."""
