"""Diffusion models behind one small protocol."""
