"""The one exception that means "the user can mend this"."""


class InputError(ValueError):
    """Bad input: a flag, a file or a run folder that is not what was expected.

    The message is one sentence that names the flag or the file, what was expected and what was got. The command
    line prints it without a traceback and exits with code 2.
    """
