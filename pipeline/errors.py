"""Everything that Splatworks raises on purpose.

    SplatworksError
    ├── InputError      a file or a value that the user gave is wrong
    ├── ConfigError     a recipe, a setting or a stage name is wrong
    ├── ChangedError    a finished result was altered or cut short after the fact
    ├── MissingError    an optional package, a device or a model is absent
    └── StorageError    the disk is full, read-only or otherwise refuses

All of them are the user's to mend: the command line prints one line and exits with code 2.
A message says where, what was found, what was expected, and what to do.
"""


class SplatworksError(Exception):
    """Base of the errors that are explained rather than traced back."""


class InputError(SplatworksError):
    """A file or a value that the user gave is wrong."""


class ConfigError(SplatworksError):
    """A recipe, a setting or a stage name is wrong."""


class ChangedError(SplatworksError):
    """A finished result was altered or cut short after the fact."""


class MissingError(SplatworksError):
    """An optional package, a device or a model is absent."""


class StorageError(SplatworksError):
    """The disk is full, read-only or otherwise refuses."""
