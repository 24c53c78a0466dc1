"""Editing of captured scenes: layers of Gaussians, selections, operations, undo. No stage."""
