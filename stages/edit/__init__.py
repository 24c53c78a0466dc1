"""Edits a scene by one retouched picture of it."""
