"""The errors a user can meet. Each message is one sentence: the file, what is wrong, the fix."""

from __future__ import annotations


class MrsegError(Exception):
    """Base of every error shown to a user; ``exit_code`` is what the command line returns."""

    exit_code = 2


class InputError(MrsegError):
    """A file, folder or option the user gave cannot be used."""


class NotAlignedError(InputError):
    """A scan lies elsewhere than the others, and nothing brings it onto them: the others can go on without it."""


class LabelCodesError(InputError):
    """A reference's codes are not the task's: the user may know whose they are."""


class UnknownModelError(MrsegError):
    """No model folder of that name is installed, and no such path exists."""


class ModelError(MrsegError):
    """A model folder is there but damaged, or does not fit what is asked of it."""

    exit_code = 3


class DeviceError(MrsegError):
    """The device asked for is missing, or its memory ran out."""

    exit_code = 3


class Cancelled(MrsegError):  # noqa: N818 - a request, not a fault
    """The run was stopped on request, or a newer request took its place."""

    exit_code = 130
