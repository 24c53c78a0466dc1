"""Files, hashes, recipes, the runner and the command line. Knows nothing about 3D."""
