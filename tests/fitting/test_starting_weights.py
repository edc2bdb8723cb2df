"""Fits start from new weights, the first weights or the last weights, and a killed run continues from there."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from al_lightning import ActiveLearningLoop, Classifier, Entropy, InputError, Random
from al_lightning.fitting.starting_weights import StartingWeights
from al_lightning.run_folder import RunFolder
from tests.digits import DigitsMLP, FlatDigits
from tests.own_models import Net
from tests.test_loop import Spy, make_trainer, rows, timeless

MODES = ["scratch", "initial", "warm"]
State = dict[str, Tensor]


def make_model() -> Classifier:
    """With batch normalisation, whose statistics are to be kept and restored as well."""
    torch.manual_seed(0)
    return Classifier(Net(), optimizer=lambda params: torch.optim.Adam(params, lr=1e-2))


def copied(model: nn.Module) -> State:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(value.equal(second[name]) for name, value in first.items())


def run(run_dir: Path, reinit: str, *spies: Spy, model: nn.Module | None = None, num_rounds: int = 2, **kwargs) -> None:
    trainer_kwargs = kwargs.pop("trainer", {})
    loop = ActiveLearningLoop(kwargs.pop("strategy", Entropy()), 10, num_rounds, str(run_dir), reinit=reinit, **kwargs)
    loop.run(make_trainer(loop, *spies, **trainer_kwargs), model or make_model(), FlatDigits(num_initial=50))


def spies() -> tuple[Spy, Spy]:
    """The weights at the beginning and at the end of a fit."""
    return tuple(Spy(lambda trainer, module: copied(module), at) for at in ("on_train_start", "on_test_end"))


# ------------------------------------------------------------------------------------------------------ where it starts


def test_scratch_starts_from_other_weights_in_each_round(tmp_path: Path) -> None:
    starts, ends = spies()
    run(tmp_path, "scratch", starts, ends)
    first, second, third = (state["network.fc.weight"] for state in starts.results)
    assert not first.equal(second)
    assert not second.equal(third)
    assert all(int(state["network.body.2.num_batches_tracked"]) == 0 for state in starts.results)
    assert not list(tmp_path.glob("*.pt"))


def test_initial_starts_from_the_weights_of_the_model_that_was_given(tmp_path: Path) -> None:
    model = make_model()
    given = copied(model)
    starts, ends = spies()
    run(tmp_path, "initial", starts, ends, model=model)
    assert len(starts.results) == 3
    assert all(same(state, given) for state in starts.results)
    assert not any(same(state, given) for state in ends.results)
    assert [path.name for path in tmp_path.glob("*.pt")] == ["initial.pt"]


def test_warm_starts_from_the_weights_after_the_last_fit(tmp_path: Path) -> None:
    model = make_model()
    given = copied(model)
    starts, ends = spies()
    run(tmp_path, "warm", starts, ends, model=model)
    first, second, third = starts.results
    assert same(first, given)
    assert same(second, ends.results[0])
    assert same(third, ends.results[1])
    assert not same(second, given)
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["initial.pt", "warm1.pt", "warm2.pt"]


@pytest.mark.parametrize("reinit", ["initial", "warm"])
def test_the_modes_differ_in_nothing_but_where_fits_start(tmp_path: Path, reinit: str) -> None:
    run(tmp_path / "scratch", "scratch")
    run(tmp_path / reinit, reinit)
    assert rows(tmp_path / "scratch", "queries.csv")[:50] == rows(tmp_path / reinit, "queries.csv")[:50]
    assert timeless(tmp_path / "scratch") != timeless(tmp_path / reinit)


def test_a_tiny_round_saves_nothing(tmp_path: Path) -> None:
    run(tmp_path / "run", "warm", trainer={"fast_dev_run": True})
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------------------------ resuming


class Killed(BaseException):
    pass


def assert_same(run_dir: Path, whole: Path) -> None:
    assert timeless(run_dir) == timeless(whole)
    assert (run_dir / "queries.csv").read_bytes() == (whole / "queries.csv").read_bytes()
    saved = [torch.load(path / "model.ckpt", weights_only=True)["state_dict"] for path in (run_dir, whole)]
    assert same(*saved)
    assert sorted(path.name for path in run_dir.glob("*.pt*")) == sorted(path.name for path in whole.glob("*.pt*"))


@pytest.mark.parametrize(
    ("reinit", "moment"),
    [("scratch", "commit"), ("initial", "commit"), ("warm", "keep"), ("warm", "commit"), ("warm", "discard")],
)
def test_a_run_that_dies_before_in_or_after_a_commit_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reinit: str, moment: str
) -> None:
    run(tmp_path / "whole", reinit, num_rounds=3)
    owner = RunFolder if moment == "commit" else StartingWeights
    do = getattr(owner, moment)
    for at in (1, 2):  # in its first round and in its second; a commit of the initial set is none
        num_calls = 0

        def dies(self: object, *args: object, at: int = at, **kwargs: object) -> None:
            nonlocal num_calls
            num_calls += bool(args)
            if num_calls == at:
                raise Killed
            do(self, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(owner, moment, dies)
            with pytest.raises(Killed):
                run(tmp_path / "parts", reinit, num_rounds=3)
    run(tmp_path / "parts", reinit, num_rounds=3)
    assert_same(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("reinit", MODES)
def test_a_finished_run_is_extended_to_the_same_bits(tmp_path: Path, reinit: str) -> None:
    run(tmp_path / "whole", reinit, num_rounds=3)
    for num_rounds in (0, 1, 3):
        run(tmp_path / "parts", reinit, num_rounds=num_rounds)
    assert_same(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("reinit", ["initial", "warm"])
def test_a_run_that_goes_on_does_not_look_at_the_weights_it_is_given(tmp_path: Path, reinit: str) -> None:
    run(tmp_path / "whole", reinit)
    run(tmp_path / "parts", reinit, num_rounds=1)
    other = make_model()
    nn.init.zeros_(other.network.fc.weight)
    run(tmp_path / "parts", reinit, model=other)
    assert_same(tmp_path / "parts", tmp_path / "whole")


def test_a_run_that_finished_no_round_begins_again_with_the_weights_it_is_given(tmp_path: Path) -> None:
    def die(*args: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        run(tmp_path, "initial", Spy(die, "on_train_start"))
    other = make_model()
    nn.init.zeros_(other.network.fc.weight)
    starts, _ = spies()
    run(tmp_path, "initial", starts, model=other)
    assert (starts.results[2]["network.fc.weight"] == 0).all()


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_warm_goes_on_to_the_same_bits_in_any_precision(tmp_path: Path, precision: str) -> None:
    trainer = {"precision": precision}
    run(tmp_path / "whole", "warm", trainer=trainer)
    for num_rounds in (0, 1, 2):
        run(tmp_path / "parts", "warm", num_rounds=num_rounds, trainer=trainer)
    assert_same(tmp_path / "parts", tmp_path / "whole")


def test_arms_from_the_same_weights_have_the_same_round_0(tmp_path: Path) -> None:
    other = make_model()
    nn.init.zeros_(other.network.fc.weight)
    run(tmp_path / "random", "initial", num_rounds=1, strategy=Random())
    run(tmp_path / "first", "initial", num_rounds=0)
    assert timeless(tmp_path / "random")[:1] == timeless(tmp_path / "first")
    run(tmp_path / "other", "initial", num_rounds=0, model=other)
    assert timeless(tmp_path / "other") != timeless(tmp_path / "first")


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(("reinit", "name"), [("initial", "initial.pt"), ("warm", "warm1.pt")])
@pytest.mark.parametrize("damage", ["missing", "torn", "edited", "empty"])
def test_a_file_that_is_not_as_it_was_saved_is_named(tmp_path: Path, reinit: str, name: str, damage: str) -> None:
    class Die(Spy):
        def on_train_start(self, trainer: object, module: object) -> None:
            if trainer.datamodule.labeled.sum() == 70:  # type: ignore[attr-defined]
                raise Killed

    with pytest.raises(Killed):
        run(tmp_path, reinit, Die(lambda *_: None))
    file = tmp_path / name
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "edited":
        weight = torch.load(file, weights_only=True)["weights"]["network.fc.bias"]
        at = content.index(weight.numpy().tobytes())
        file.write_bytes(content[:at] + (weight + 1).numpy().tobytes() + content[at + 4 * len(weight) :])
    else:
        file.write_bytes(content[:1000] if damage == "torn" else b"")
    expected = "but it is missing" if damage == "missing" else "as it was saved, but it was edited or is torn"
    with pytest.raises(InputError, match=f"{name}.*{expected}"):
        run(tmp_path, reinit)
    assert len(rows(tmp_path)) == 2


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    run(tmp_path, "initial", num_rounds=1)
    other = Classifier(Net(width=8), optimizer=lambda params: torch.optim.Adam(params, lr=1e-2))
    with pytest.raises(InputError, match=r"the model of the run in .*`network.body.1` was"):
        run(tmp_path, "initial", model=other)
    with pytest.raises(InputError, match="initial.pt to hold the weights of a Classifier like this one"):
        StartingWeights("initial", 0, tmp_path).restore(other, 0)  # as of a run that was begun before runs knew models


def test_another_mode_is_another_run(tmp_path: Path) -> None:
    run(tmp_path, "initial", num_rounds=1)
    with pytest.raises(InputError, match=r"`loop.reinit` \(initial there, warm here\)"):
        run(tmp_path, "warm")


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="`loop.reinit` to be one of scratch, initial, warm, but got `cold`"):
        ActiveLearningLoop(Entropy(), reinit="cold")


def test_pretrained_weights_are_not_drawn_anew(tmp_path: Path) -> None:
    model = DigitsMLP()
    model.pretrained = True
    with pytest.raises(
        InputError, match="`loop.reinit` to be initial or warm with a pretrained model, but got scratch"
    ):
        run(tmp_path / "run", "scratch", model=model)
    assert not (tmp_path / "run").exists()
    run(tmp_path / "run", "initial", model=model, num_rounds=0)
