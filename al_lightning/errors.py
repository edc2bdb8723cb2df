"""The exceptions of this package: what the user can mend, and a request to stop."""

import signal


class InputError(ValueError):
    """Bad input: a flag, a file or a run folder that is not what was expected.

    The message is one sentence that names the flag or the file, what was expected and what was got. The command
    line prints it without a traceback and exits with code 2.
    """


class Interrupted(BaseException):
    """A signal asked the program to stop. What is committed is safe, and the same command continues the run.

    The exception is raised where the program stands. Lightning swallows KeyboardInterrupt, but not this exception.

    Args:
        signum: Number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"{signal.Signals(signum).name} stopped the run; the same command continues it.")
        self.signum = signum
