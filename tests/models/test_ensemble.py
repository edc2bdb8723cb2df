"""Ensemble: each member learns as it would alone, and strategies take the members as samples."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from al_lightning import BALD, ActiveLearningLoop, Convergence, Ensemble, InputError, VariationRatio, bald_score
from al_lightning.cli import main
from al_lightning.cli.fit import fit_objects
from al_lightning.models import Backbone, Classifier, DropoutMLP, LinearProbe, MixMatch, MonteCarloMLP
from tests.cli.test_dispatch import refused
from tests.digits import FlatDigits
from tests.helpers import digits, generator, make_pool, pool_inputs
from tests.own_models import Net
from tests.test_loop import make_trainer, rows, timeless

OPTIMIZERS: dict[str, Callable] = {
    "adam": lambda params: torch.optim.Adam(params, lr=1e-2, fused=True),
    "sgd": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
}


def mlp(optimizer: Callable = OPTIMIZERS["adam"], dropout: float = 0.0) -> DropoutMLP:
    return DropoutMLP(64, 16, 10, dropout=dropout, optimizer=optimizer)


def batches(number: int) -> list[tuple[Tensor, Tensor]]:
    """The same minibatches at each call, the last one smaller."""
    inputs, targets = digits().train_inputs, digits().train_targets
    order = torch.randperm(16 * number - 5, generator=generator(7))
    return [(inputs[part], targets[part]) for part in order.split(16)]


def fit(ensemble: Ensemble, number: int = 20, **trainer) -> Ensemble:
    arguments = {"accelerator": "cpu", "max_epochs": 1, "logger": False, "enable_checkpointing": False, **trainer}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    L.Trainer(**arguments, **quiet).fit(ensemble, DataLoader(batches(number), batch_size=None))
    return ensemble


def fit_alone(member: DropoutMLP, number: int = 20, clip: float | None = None) -> DropoutMLP:
    """A plain loop over the minibatches."""
    optimizer = member.optimizer_factory(member.parameters())
    for inputs, targets in batches(number):
        loss = F.cross_entropy(member.train()(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(member.parameters(), clip)
        optimizer.step()
    return member


# ------------------------------------------------------------------------------------------------------------ training


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_members_learn_as_they_would_alone(optimizer: str, clip: float | None) -> None:
    torch.manual_seed(0)
    ensemble = Ensemble(lambda: mlp(OPTIMIZERS[optimizer]), size=3)
    alone = [fit_alone(copy.deepcopy(member), clip=clip) for member in ensemble.members]
    before = copy.deepcopy(ensemble.members)
    fit(ensemble, gradient_clip_val=clip)
    for member, expected, first in zip(ensemble.members, alone, before, strict=True):
        for (name, value), other, old in zip(
            member.named_parameters(), expected.parameters(), first.parameters(), strict=True
        ):
            torch.testing.assert_close(
                value, other, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
            )
            assert (value - old).abs().max() > 1e-3


def test_members_may_have_other_learning_rates() -> None:
    rates = iter([0.01, 0.1])

    def member() -> DropoutMLP:
        rate = next(rates)
        return mlp(lambda params: torch.optim.SGD(params, lr=rate))

    ensemble = Ensemble(member, size=2)
    optimizer = ensemble.configure_optimizers()
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.1]
    assert [len(group["params"]) for group in optimizer.param_groups] == [4, 4]


def test_members_are_drawn_from_streams_of_their_own() -> None:
    torch.manual_seed(3)
    few = Ensemble(mlp, size=2)
    torch.manual_seed(3)
    many = Ensemble(mlp, size=4)
    weights = [member.hidden.weight for member in many.members]
    assert all(weights[i].equal(few.members[i].hidden.weight) for i in range(2))
    assert not any(weights[i].allclose(weights[j]) for i in range(4) for j in range(i))


def test_members_have_their_own_masks() -> None:
    ensemble = Ensemble(lambda: mlp(dropout=0.5), size=2).train()
    ensemble.members[1].load_state_dict(ensemble.members[0].state_dict())
    samples = ensemble.sample_logits(pool_inputs(8), 0)
    assert not samples[:, 0].allclose(samples[:, 1])
    ensemble.eval()
    assert ensemble.sample_logits(pool_inputs(8), 0).unbind(1)[0].equal(ensemble.members[1](pool_inputs(8)))


def test_members_take_the_sizes_of_the_data_and_draw_as_with_given_sizes() -> None:
    torch.manual_seed(0)
    left_open = Ensemble(lambda: DropoutMLP(hidden_dim=16), size=2)
    left_open.suit_data(10, pool_inputs(1))
    torch.manual_seed(0)
    given = Ensemble(lambda: DropoutMLP(64, 16, 10), size=2)
    assert all(a.equal(b) for a, b in zip(left_open.parameters(), given.parameters(), strict=True))
    assert left_open.members[0].hparams == {"input_dim": 64, "hidden_dim": 16, "num_classes": 10, "dropout": 0.5}


# ---------------------------------------------------------------------------------------------- prediction and samples


def test_the_prediction_is_the_mean_of_the_members() -> None:
    ensemble = Ensemble(lambda: mlp(dropout=0.5), size=3).eval()
    inputs = 30 * pool_inputs(50)  # confident members
    probs = torch.stack([member.double()(inputs.double()).softmax(dim=1) for member in ensemble.members])
    torch.testing.assert_close(ensemble.float()(inputs).double(), probs.mean(dim=0).log(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(ensemble.predict_step((inputs, None)).double(), probs.mean(dim=0), rtol=0, atol=1e-6)


def test_strategies_take_the_members_as_their_samples() -> None:
    ensemble = fit(Ensemble(mlp, size=3), number=5).eval()
    pool = make_pool(model=ensemble)
    with torch.no_grad():
        samples = torch.stack([member(pool_inputs()).log_softmax(dim=1) for member in ensemble.members], dim=1)
    scores = BALD().scores(pool)
    torch.testing.assert_close(scores, bald_score(samples), rtol=0, atol=1e-5)
    scores = VariationRatio().scores(pool)
    votes = [max((row == c).float().mean() for c in range(10)) for row in samples.argmax(dim=2)]
    torch.testing.assert_close(scores, 1 - torch.tensor(votes).to(scores), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "member", [lambda: Classifier(Net(), 10), lambda: Backbone("small_cnn", 10)], ids=["Classifier", "Backbone"]
)
def test_other_models_are_members(member: Callable) -> None:
    ensemble = Ensemble(member, size=2)
    images = pool_inputs(6).view(-1, 8, 8)
    assert ensemble.eval().sample_logits(images, 5).shape == (6, 2, 10)
    assert isinstance(ensemble.configure_optimizers(), torch.optim.Adam)
    assert not ensemble.ends_by_train_acc
    assert Ensemble(mlp).ends_by_train_acc


# ------------------------------------------------------------------------------------------------------------- refusal


ONE = mlp()


class WithSchedule(DropoutMLP):
    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1)}


class WithHook(DropoutMLP):
    def on_train_batch_end(self, outputs, batch, batch_idx) -> None:
        self.hidden.weight.data.clamp_(-1, 1)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (lambda: nn.Linear(4, 2), "such as DropoutMLP, Classifier or Backbone, but it made a Linear"),
        (LinearProbe, "but got LinearProbe, which is not trained by one loss a minibatch"),
        (MixMatch, "but got MixMatch, which is not trained by one loss a minibatch"),
        (lambda: Ensemble(mlp, 2), "but got Ensemble, which is not trained"),
        (MonteCarloMLP, "but got MonteCarloMLP, whose `test_step` would not be called"),
        (WithHook, "but got WithHook, whose `on_train_batch_end` would not be called"),
        (lambda: ONE, "new weights in each call, but got the same DropoutMLP weights `hidden.weight` twice"),
    ],
)
def test_members_of_another_kind_are_refused(member: Callable, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Ensemble(member, size=2)


def test_one_member_is_no_ensemble() -> None:
    with pytest.raises(InputError, match=r"^Expected `model.size` of Ensemble to be at least 2, but got 1\.$"):
        Ensemble(mlp, size=1)


def test_optimizers_that_cannot_be_joined_are_refused() -> None:
    with pytest.raises(InputError, match=r"take one gradient a step, as Adam does, but got LBFGS"):
        Ensemble(lambda: mlp(torch.optim.LBFGS), size=2).configure_optimizers()
    with pytest.raises(InputError, match=r"without a schedule, but got dict and dict"):
        Ensemble(WithSchedule, size=2).configure_optimizers()
    kinds = iter(OPTIMIZERS.values())
    with pytest.raises(InputError, match=r"of one class, without a schedule, but got Adam and SGD"):
        Ensemble(lambda: mlp(next(kinds)), size=2).configure_optimizers()


# ---------------------------------------------------------------------------------------------------------------- runs

FLAGS = [
    *(
        "--data",
        "tests.digits.FlatDigits",
        "--data.num_initial",
        "100",
        "--data.batch_size",
        "16",
        "--model",
        "Ensemble",
    ),
    *("--model.member", "DropoutMLP", "--model.member.hidden_dim", "32", "--model.member.optimizer.lr", "1e-2"),
    *("--model.size", "3", "--loop.strategy", "BALD", "--loop.query_size", "10", "--trainer.max_epochs", "6"),
]


def with_dropout() -> DropoutMLP:
    return mlp(dropout=0.5)


def in_python(path: Path, member: Callable = with_dropout, size: int = 2, **kwargs) -> list[dict[str, str]]:
    """A run of an ensemble that was made in Python; returns its rounds."""
    loop = ActiveLearningLoop(BALD(), query_size=10, run_dir=path, **{"num_rounds": 1, **kwargs})
    torch.manual_seed(0)
    loop.run(make_trainer(Convergence()), Ensemble(member, size), FlatDigits(num_initial=40, batch_size=16))
    return timeless(path)


@pytest.mark.parametrize("reinit", ["scratch", "initial", "warm"])
def test_a_run_from_python_goes_on_to_the_same_bits(tmp_path: Path, reinit: str) -> None:
    whole = in_python(tmp_path / "whole", num_rounds=2, reinit=reinit)
    in_python(tmp_path / "parts", num_rounds=1, reinit=reinit)
    assert in_python(tmp_path / "parts", num_rounds=2, reinit=reinit) == whole
    assert [row["num_labeled"] for row in whole] == ["40", "50", "60"]
    assert float(whole[-1]["test_acc"]) > 0.2
    queries = [[row["index"] for row in rows(tmp_path / name, "queries.csv")] for name in ("whole", "parts")]
    assert queries[0] == queries[1]


def test_another_member_or_size_is_another_run(tmp_path: Path) -> None:
    in_python(tmp_path)
    for others in ({"size": 3}, {"member": lambda: DropoutMLP(64, 24)}):
        with pytest.raises(InputError, match="Expected .*(model|optimizer)"):
            in_python(tmp_path, num_rounds=2, **others)


def test_a_run_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """It goes on to the same bits, and its checkpoint is tested and predicts."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    main(["fit", *FLAGS, "--loop.run_dir", str(whole), "--loop.num_rounds", "2"])
    main(["fit", *FLAGS, "--loop.run_dir", str(parts), "--loop.num_rounds", "1"])
    capsys.readouterr()
    for flags, said in [
        (["--model.size", "4"], "model.size"),
        (["--model.member.hidden_dim", "16"], "model.member.hidden_dim"),
        (["--model.member.dropout", "0.1"], "model.member.dropout"),
    ]:
        assert said in refused(capsys, "fit", str(parts), "--loop.num_rounds", "2", *flags)
    main(["fit", str(parts), "--loop.num_rounds", "2"])
    assert timeless(parts) == timeless(whole)
    accuracy = float(rows(whole)[-1]["test_acc"])
    assert accuracy > 0.8
    config = yaml.safe_load((whole / "config.yaml").read_text())["model"]["init_args"]
    assert config["member"]["init_args"]["input_dim"] is None
    member = fit_objects(["--config", str(whole / "config.yaml")])[1].members[0]
    assert dict(member.hparams) == {"input_dim": 784, "hidden_dim": 32, "num_classes": 10, "dropout": 0.5}
    capsys.readouterr()
    main(["test", str(whole)])
    assert f"{accuracy:.4f}"[:5] in capsys.readouterr().out
    main(["predict", str(whole)])
    predicted = [int(row["predicted"]) for row in rows(whole, "predictions.csv")]
    assert (torch.tensor(predicted) == digits().test_targets).double().mean().item() == pytest.approx(accuracy)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--model.size 1", r"`model.size` of Ensemble to be at least 2, but got 1"),
        ("--model.member MonteCarloMLP", r"MonteCarloMLP, whose `[a-z_]+` would not be called"),
        ("--model.member Classifier --model.member.network tests.own_models.Net", r"the same Classifier weights `net"),
        ("--model.member LinearProbe", r"LinearProbe, which is not trained by one loss a minibatch"),
        ("--model.member tests.own_models.ForwardOnly", r"`model.member`"),
        ("--model.member.optimizer LBFGS", r"`model.member.optimizer` of Ensemble to take one gradient a step"),
        ("--model.member.hiden_dim 3", r"`--model.member.hiden_dim`.*did you mean `?--model.member.hidden_dim"),
        ("--loop.strategy BADGE", r"the model Ensemble to have `embed` and `head`, or `feature_layer`"),
    ],
)
def test_bad_flags_get_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture, flags: str, said: str) -> None:
    words = [*FLAGS, "--loop.run_dir", str(tmp_path / "run"), "--loop.num_rounds", "1", *flags.split()]
    assert re.search(said, refused(capsys, "fit", *words))
    assert not (tmp_path / "run").exists()
