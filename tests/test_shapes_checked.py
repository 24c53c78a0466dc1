"""A canary: if this fails, the import hook in `conftest.py` has stopped working."""

import pytest
import torch
from splatworks.renderers.projection import rotation_matrices
from splatworks.stages.distill.clip import clip_pixels


def test_shapes_are_really_checked() -> None:
    with pytest.raises(Exception, match="type"):
        clip_pixels(torch.zeros(4, 5), 1.0)
    with pytest.raises(Exception, match="type"):
        rotation_matrices(torch.zeros(4, 5))
