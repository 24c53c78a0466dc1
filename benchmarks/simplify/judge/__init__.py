"""Scores simplified meshes. Reads files by itself: a judge shares no reader with the judged."""
