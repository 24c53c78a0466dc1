"""The embedded prior and small real samples."""
