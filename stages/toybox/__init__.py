"""The embedded prior: training props, images, and the training of the networks."""
