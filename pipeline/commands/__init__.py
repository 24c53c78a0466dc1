"""The commands of `pipeline`, one file per group. The only place that joins runner and stages."""
