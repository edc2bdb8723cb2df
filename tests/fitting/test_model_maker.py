"""scratch: each round starts from what the model's constructor makes, or the run is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning import ActiveLearningLoop, Classifier, Convergence, Entropy, InputError
from al_lightning.cli import main
from al_lightning.fitting.model_maker import maker_of
from al_lightning.random_streams import stream_seed
from tests.digits import FlatDigits
from tests.own_models import ForwardOnly, Net
from tests.test_loop import Spy, make_trainer, rows, timeless

State = dict[str, Tensor]


class PatchNet(nn.Module):
    """Like many vision networks: a token, weights drawn in the constructor, a norm that begins with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 16) * 0.02)
        self.patches = nn.Linear(8, 16)
        self.norm = nn.LayerNorm(16)
        self.fc = nn.Linear(16, 10)
        nn.init.zeros_(self.norm.weight)
        nn.init.trunc_normal_(self.fc.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.patches(x.view(len(x), 8, 8)) + self.token + self.norm(self.token)).mean(dim=1))


class Normed(nn.Module):
    """Layers whose weights torch makes from others."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.utils.weight_norm(nn.Linear(64, 16)))
        self.fc = nn.utils.spectral_norm(nn.Linear(16, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).relu())


class WithFile(ForwardOnly):
    """Loads and freezes its first layer, and counts its steps."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net.body[1].load_state_dict(torch.load(path, weights_only=True))
        self.net.body[1].requires_grad_(False)
        self.steps = 0

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        self.steps += 1
        return F.cross_entropy(self(batch[0]) / (1 + self.steps / 100), batch[1])


def patch_model() -> Classifier:
    return Classifier(PatchNet(), feature_layer="fc")


def run(run_dir: Path, model: object, *spies: Spy, num_rounds: int = 2, **kwargs: object) -> None:
    loop = ActiveLearningLoop(Entropy(), 10, num_rounds, str(run_dir), **kwargs)  # type: ignore[arg-type]
    loop.run(make_trainer(loop, *spies, max_epochs=3), model, FlatDigits(num_initial=50))  # type: ignore[arg-type]


def starts() -> Spy:
    return Spy(lambda trainer, module: {k: v.clone() for k, v in module.state_dict().items()}, "on_train_start")


def made(make: Callable[[], nn.Module], round: int) -> State:
    """The result of the constructor with the seed of a round."""
    torch.manual_seed(stream_seed(0, "weights", round))
    return make().state_dict()


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(value.equal(second[name]) for name, value in first.items())


# --------------------------------------------------------------------------------------------------- by a constructor


@pytest.mark.parametrize("make", [patch_model, lambda: Classifier(Normed()), lambda: Classifier(Net())])
def test_a_callable_makes_the_model_of_each_round(tmp_path: Path, make: Callable[[], Classifier]) -> None:
    spy = starts()
    run(tmp_path, make, spy)
    assert all(same(state, made(make, round)) for round, state in enumerate(spy.results))
    assert len(spy.results) == 3
    assert not same(*spy.results[:2])


def test_the_command_line_makes_the_model_of_each_round(tmp_path: Path) -> None:
    spy_file = tmp_path / "run" / "model.ckpt"
    words = [
        "fit",
        "--config",
        "configs/digits.yaml",
        "--loop.num_rounds",
        "1",
        "--loop.run_dir",
        str(tmp_path / "run"),
    ]
    words += [
        "--model",
        "Classifier",
        "--model.network",
        "tests.fitting.test_model_maker.PatchNet",
        "--trainer.max_epochs",
        "1",
    ]
    main([*words, "--model.optimizer", "SGD", "--model.optimizer.lr", "0"])  # weights stay as they were drawn
    last = torch.load(spy_file, weights_only=True)["state_dict"]
    assert same({k: v for k, v in last.items() if "test_metrics" not in k}, made(patch_model, 1))


def test_loaded_and_frozen_layers_are_those_of_the_file_in_each_round(tmp_path: Path) -> None:
    file = tmp_path / "layer.pt"
    torch.manual_seed(4)
    layer = nn.Linear(64, 16)
    torch.save(layer.state_dict(), file)
    for name, model in (("object", WithFile(str(file))), ("callable", lambda: WithFile(str(file)))):
        spy, steps = starts(), Spy(lambda trainer, module: module.steps, "on_train_start")
        run(tmp_path / name, model, spy, steps)
        assert all(state["net.body.1.weight"].equal(layer.weight) for state in spy.results)
        assert not spy.results[0]["net.fc.weight"].equal(spy.results[1]["net.fc.weight"])
        assert steps.results == [0, 0, 0]


def test_attributes_of_a_model_do_not_reach_the_next_round_so_a_continued_run_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "layer.pt"
    torch.save(nn.Linear(64, 16).state_dict(), file)
    for name in ("object", "callable"):
        make = (lambda: WithFile(str(file))) if name == "callable" else None
        run(tmp_path / name / "whole", make or WithFile(str(file)))
        for num_rounds in (0, 1, 2):
            run(tmp_path / name / "parts", make or WithFile(str(file)), num_rounds=num_rounds)
        assert timeless(tmp_path / name / "whole") == timeless(tmp_path / name / "parts")
        assert rows(tmp_path / name / "whole", "queries.csv") == rows(tmp_path / name / "parts", "queries.csv")


class Lazy(nn.Module):
    """Finds out its number of input features."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(10))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.mark.parametrize("model", [Classifier(Lazy()), lambda: Classifier(Lazy())])
def test_lazy_layers_draw_their_weights_with_the_seed_of_the_round(tmp_path: Path, model: object) -> None:
    spy = starts()
    run(tmp_path, model, spy)
    for round, state in enumerate(spy.results):
        torch.manual_seed(stream_seed(0, "weights", round))
        expected = nn.Linear(64, 16), nn.Linear(16, 10)
        assert state["network.layers.1.weight"].equal(expected[0].weight)
        assert state["network.layers.3.weight"].equal(expected[1].weight)


def test_a_callable_that_makes_no_new_model_is_refused(tmp_path: Path) -> None:
    model = patch_model()
    with pytest.raises(InputError, match="Expected a new Classifier from each call of the callable"):
        run(tmp_path / "run", lambda: model)
    net = PatchNet()
    with pytest.raises(InputError, match="Expected a new Classifier from each call of the callable"):
        run(tmp_path / "run", lambda: Classifier(net))
    with pytest.raises(InputError, match="Expected a callable that makes a LightningModule, but it made a PatchNet"):
        run(tmp_path / "run", PatchNet)


def test_a_callable_starts_initial_and_warm_from_its_first_model(tmp_path: Path) -> None:
    for reinit in ("initial", "warm"):
        spy = starts()
        run(tmp_path / reinit, patch_model, spy, reinit=reinit, num_rounds=1)
        assert same(spy.results[0], made(patch_model, 0))
        assert same(spy.results[1], spy.results[0]) == (reinit == "initial")


# --------------------------------------------------------------------------------------------------------- of an object


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(288, 10)),
        lambda: nn.Sequential(nn.Embedding(50, 8, padding_idx=0), nn.GRU(8, 8, 2, bidirectional=True)),
        lambda: nn.MultiheadAttention(16, 2),
        lambda: nn.MultiheadAttention(16, 2, kdim=8, vdim=8, add_bias_kv=True),
        lambda: nn.Sequential(nn.Bilinear(4, 5, 6), nn.PReLU(), nn.ConvTranspose1d(6, 4, 3), nn.BatchNorm1d(4)),
    ],
)
def test_layers_of_torch_draw_what_their_constructors_draw(make: Callable[[], nn.Module]) -> None:
    model = Classifier(make())
    maker = maker_of(model)
    assert maker.name == "reset_parameters"
    for round in range(3):
        maker.renew(model, stream_seed(0, "weights", round))
        assert same(model.network.state_dict(), made(make, round))


def test_copied_layers_stay_copies() -> None:
    """``TransformerEncoder`` copies its layer, so that all begin with the same weights."""
    make = lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32), 2, enable_nested_tensor=False)  # noqa: E731
    model = Classifier(make())
    maker_of(model).renew(model, 5)
    first, second = model.network.layers
    assert same(first.state_dict(), second.state_dict())
    torch.manual_seed(5)
    expected = nn.TransformerEncoderLayer(16, 2, 32).state_dict()
    assert same(first.state_dict(), expected)


def test_a_table_of_positions_is_put_back_and_not_drawn() -> None:
    class WithTable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.linspace(0, 1, 12), persistent=False)
            self.linear = nn.Linear(12, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x + self.table)

    model = Classifier(WithTable())
    maker = maker_of(model)
    model.network.table.add_(3)
    maker.renew(model, 0)
    assert model.network.table.equal(torch.linspace(0, 1, 12))


def trained() -> nn.Module:
    """300 steps away from its initialisation."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    inputs, targets = torch.randn(100, 64), torch.randint(10, (100,))
    for _ in range(300):
        optimizer.zero_grad()
        F.cross_entropy(net(inputs), targets).backward()
        optimizer.step()
    return net


def frozen() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    net[1].requires_grad_(False)
    return net


def torchvision_resnet() -> nn.Module:
    from torchvision.models import resnet18

    return resnet18(num_classes=10)


def bert() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return transformers.BertForSequenceClassification(transformers.BertConfig(**sizes, vocab_size=200))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (trained, "got others in `network.1.weight`"),
        (frozen, "`network.1.weight` has `requires_grad` False"),
        (PatchNet, "of PatchNet `network`, which has parameters of its own"),
        (Normed, "WeightNorm makes them from others"),
        (torchvision_resnet, "got others in `network.conv1.weight`: its values have another distribution"),
        (bert, "got others in `network.bert.embeddings.word_embeddings.weight`"),
    ],
)
def test_an_object_whose_weights_no_layer_draws_is_refused_before_anything_is_written(
    tmp_path: Path, make: Callable[[], nn.Module], what: str
) -> None:
    model = Classifier(make())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError) as error:
        maker_of(model)
    assert what in str(error.value)
    assert "give `run` a callable that makes the model" in str(error.value)
    assert "`loop.reinit` initial" in str(error.value)
    assert same(model.state_dict(), before)


def test_the_refusal_comes_before_the_run_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give `run` a callable"):
        run(tmp_path / "run", patch_model())
    assert not (tmp_path / "run").exists()
    run(tmp_path / "run", patch_model(), reinit="initial", num_rounds=0)


class Wide(L.LightningModule):
    """Saves all its arguments, and draws its weights in its own way."""

    def __init__(self, width: int, std: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.hidden = nn.Linear(64, width)
        nn.init.normal_(self.hidden.weight, std=std)
        self.head = nn.Linear(width, 10)


def test_an_object_that_saved_its_arguments_is_made_again_with_these() -> None:
    model = Wide(24)
    maker = maker_of(model)
    hidden = model.hidden
    maker.renew(model, 3)
    torch.manual_seed(3)
    assert same(model.state_dict(), Wide(24).state_dict())
    assert model.hidden is hidden  # which the user may hold
    changed = Wide(24)
    nn.init.normal_(changed.hidden.weight, std=1.0)
    with pytest.raises(InputError, match=r"others in `hidden.weight`"):
        maker_of(changed)


def test_an_object_that_was_fitted_by_a_run_may_be_used_for_another_one(tmp_path: Path) -> None:
    model = Classifier(Net(), optimizer=lambda params: torch.optim.Adam(params, lr=1e-2))
    run(tmp_path / "first", model)
    run(tmp_path / "second", model)
    assert timeless(tmp_path / "first") == timeless(tmp_path / "second")


# ------------------------------------------------------------------------------------------------------- runs of before


def forget_how(run_dir: Path) -> None:
    """Turns the record of a run into a record of an earlier version."""
    file = run_dir / "commit.json"
    state = json.loads(file.read_text())
    del state["drawn_by"]
    file.write_text(json.dumps(state))


def words_of(run_dir: Path, network: str, num_rounds: int) -> list[str]:
    words = [
        "fit",
        "--config",
        "configs/digits.yaml",
        "--loop.num_rounds",
        str(num_rounds),
        "--trainer.max_epochs",
        "2",
    ]
    return [*words, "--loop.run_dir", str(run_dir), "--model", "Classifier", "--model.network", network]


def test_an_earlier_run_goes_on_if_both_ways_draw_the_same(tmp_path: Path) -> None:
    network = "tests.own_models.Net"
    main(words_of(tmp_path / "whole", network, 2))
    main(words_of(tmp_path / "run", network, 1))
    forget_how(tmp_path / "run")
    main(words_of(tmp_path / "run", network, 2))
    assert timeless(tmp_path / "whole") == timeless(tmp_path / "run")


class Swapped(Net):
    """Draws its layers in another order than it names them."""

    def __init__(self) -> None:
        super().__init__()
        torch.rand(1)
        self.fc = nn.Linear(16, 10)


def test_an_earlier_run_is_refused_if_its_weights_were_drawn_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    network = "tests.fitting.test_model_maker.Swapped"
    main(words_of(tmp_path / "run", network, 1))
    forget_how(tmp_path / "run")
    before = (tmp_path / "run" / "rounds.csv").read_bytes()
    with pytest.raises(SystemExit, match="2"):
        main(words_of(tmp_path / "run", network, 2))
    message = capsys.readouterr().err
    assert "to draw weights as the rounds in" in message
    assert "by reset_parameters, but it now draws others, by constructor" in message
    assert (tmp_path / "run" / "rounds.csv").read_bytes() == before


def test_convergence_and_metrics_survive_a_model_that_is_made_again(tmp_path: Path) -> None:
    loop = ActiveLearningLoop(Entropy(), 10, 1, str(tmp_path))
    trainer = make_trainer(loop, Convergence(), max_epochs=40)
    loop.run(trainer, lambda: Classifier(Net()), FlatDigits(num_initial=50))
    assert [row["num_labeled"] for row in rows(tmp_path)] == ["50", "60"]
    assert all(0 < float(row["test_acc"]) <= 1 for row in rows(tmp_path))
