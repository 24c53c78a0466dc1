"""Cameras, surfaces, atlases and baking; below every stage."""
