"""RunEvents: after kills and continuations a curve is one curve."""

import errno
import os
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from al_lightning.errors import InputError
from al_lightning.run_folder.events import RunEvents


def scalars(path: Path, tag: str) -> list[tuple[int, float]]:
    accumulator = EventAccumulator(str(path), size_guidance={"scalars": 0})
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


def test_curves_have_labels_and_epochs_as_x_axis(tmp_path: Path) -> None:
    events = RunEvents(tmp_path, num_labeled=500, epochs=0)
    for num_labeled, accuracy in [(500, 0.5), (600, 0.75)]:
        for loss in (2.0, 1.0):
            events.log_epoch({"train_loss": loss})
        events.log_round({"test_acc": accuracy}, num_labeled)
    events.close()
    assert scalars(tmp_path, "learning_curve/test_acc") == [(500, 0.5), (600, 0.75)]
    assert scalars(tmp_path / "fit", "fit/train_loss") == [(1, 2.0), (2, 1.0), (3, 2.0), (4, 1.0)]


def test_what_a_killed_process_wrote_of_a_repeated_round_is_purged(tmp_path: Path) -> None:
    killed = RunEvents(tmp_path, num_labeled=500, epochs=0)
    killed.log_epoch({"train_loss": 1.0})
    killed.log_round({"test_acc": 0.5}, 500)
    killed.log_epoch({"train_loss": 9.0})  # of the round that is repeated
    killed.log_round({"test_acc": 0.9}, 600)  # written, but killed before the commit
    time.sleep(1.1)  # files are read in the order of their names, which begin with the second
    continued = RunEvents(tmp_path, num_labeled=600, epochs=1)
    continued.log_epoch({"train_loss": 0.5})
    continued.log_round({"test_acc": 0.75}, 600)
    continued.close()
    assert scalars(tmp_path, "learning_curve/test_acc") == [(500, 0.5), (600, 0.75)]
    assert scalars(tmp_path / "fit", "fit/train_loss") == [(1, 1.0), (2, 0.5)]


def test_a_full_disk_is_one_sentence_although_a_thread_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(self: RecordWriter, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sentence = f"^Expected to write TensorBoard events to the run folder {tmp_path}, but got: No space left on device; "
    events = RunEvents(tmp_path, num_labeled=500, epochs=0)
    monkeypatch.setattr(RecordWriter, "write", full)
    with pytest.raises(InputError, match=sentence):
        events.log_round({"test_acc": 0.5}, 500)
    with pytest.raises(InputError, match=sentence):
        RunEvents(tmp_path, num_labeled=500, epochs=0)
    with pytest.raises(InputError, match=sentence):
        events.close()
    time.sleep(0.2)  # for the threads to end
    assert capfd.readouterr().err == ""
