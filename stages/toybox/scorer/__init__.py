"""An independent judge: does a picture show what a prompt says? Never part of a loss."""
