"""Multiresolution encodings on simplices: points to learned features, and small fields on them.

`encoding.py` is the way in. One meaning, three backends: `torch_backend.py` (readable, twice
differentiable, the judge), `compiled_backend.py` (the CPU's own instructions), and
`triton_backend.py` (CUDA).
"""
