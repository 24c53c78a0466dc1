"""File formats, one file each: `load`, `save`, strict reading, atomic writing."""
