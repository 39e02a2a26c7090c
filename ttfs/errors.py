"""The one exception that means "what you gave me cannot be used"."""


class InputError(ValueError):
    """An argument or a file is unusable; the message says what, where and what to do.

    Scripts turn it into one line on standard error and exit status 2. Any other exception is a
    defect of this project and keeps its traceback.
    """
