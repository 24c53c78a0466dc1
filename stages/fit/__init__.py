"""Fitting fields on simplex encodings to what is known: photographs, signed distances.

Two stages, `image.py` and `sdf.py`, on the training loop of `encoding/`.
"""
