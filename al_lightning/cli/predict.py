"""``al-lightning predict``: class probabilities of files, or of the test set of a run."""


def run(words: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: If the words are bad.
    """
    # each form imports no more than it needs
    if words and not words[0].startswith("-"):
        from al_lightning.cli import predict_files

        predict_files.run(words)
    else:
        from al_lightning.cli import predict_test_set

        predict_test_set.run(words)
