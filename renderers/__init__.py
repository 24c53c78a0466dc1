"""Scene and cameras in, images out. Stateless and differentiable; knows no files."""
