"""``al-lightning predict``: class probabilities of files, or of the test set of a run."""

from al_lightning.cli.beforehand import is_of_files
from al_lightning.cli.loading import loading


def run(words: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: If the words are bad.
    """
    if is_of_files(words) or words[:1] in (["-h"], ["--help"]):
        from al_lightning.cli import predict_files

        predict_files.run(words)
    else:
        with loading():
            from al_lightning.cli import predict_test_set

        predict_test_set.run(words)
