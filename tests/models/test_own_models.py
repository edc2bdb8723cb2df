"""A user's own models through the command line, from a file in the working folder."""

import csv
import re
from pathlib import Path

import pytest
import torch
from torchvision import models

from al_lightning.cli import main
from al_lightning.cli.fit import fit_objects
from tests.cli.test_dispatch import refused

IMAGES = ["--data", "tests.own_models.DigitImages", "--data.num_initial", "40"]
TINY = [*IMAGES, "--loop.query_size", "10", "--loop.num_rounds", "1", "--trainer.max_epochs", "1"]
MODELS = {
    "forward": ["--model", "tests.own_models.ForwardOnly"],
    "feature_layer": ["--model", "tests.own_models.WithFeatureLayer"],
    "network": [
        *("--model", "Classifier", "--model.network", "tests.own_models.Net", "--model.network.width", "12"),
        *("--model.feature_layer", "fc"),
    ],
    "backbone": ["--model", "Backbone", "--model.name", "resnet18"],
}


def labeled(run_dir: Path) -> list[int]:
    with (run_dir / "rounds.csv").open() as file:
        return [int(row["num_labeled"]) for row in csv.DictReader(file) if 0 <= float(row["test_ece"]) <= 1]


@pytest.mark.filterwarnings("ignore:Monte Carlo dropout takes")
@pytest.mark.parametrize(
    ("model", "strategy"),
    [
        *(("forward", strategy) for strategy in ("Random", "Entropy", "BALD", "BADGE", "CoreSet")),
        *(("feature_layer", strategy) for strategy in ("BADGE", "CoreSet", "BALD")),
        *(("network", strategy) for strategy in ("BADGE", "BALD")),
        *(("backbone", strategy) for strategy in ("BADGE", "BALD")),
    ],
)
def test_a_model_goes_with_a_strategy(tmp_path: Path, model: str, strategy: str) -> None:
    main(["fit", *TINY, *MODELS[model], "--loop.strategy", strategy, "--loop.run_dir", str(tmp_path)])
    assert labeled(tmp_path) == [40, 50]


@pytest.mark.parametrize("strategy", ["BADGE", "CoreSet"])
def test_what_a_strategy_needs_and_a_model_lacks_is_said_before_any_fit(
    capsys: pytest.CaptureFixture, tmp_path: Path, strategy: str
) -> None:
    run_dir = tmp_path / "run"
    model = ["--model", "tests.own_models.Scaled"]
    words = ["fit", *TINY, *model, "--loop.strategy", strategy, "--loop.run_dir", str(run_dir)]
    assert refused(capsys, *words) == (
        "Expected the model Scaled to have `embed` and `head`, or `feature_layer`, the name of its last layer, "
        "for embeddings, but it has neither, and its logits are no linear layer's output."
    )
    assert not run_dir.exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--model tests.own_models.WithTypo", "`feature_layer` to be a layer of WithTypo.*did you mean net.fc?"),
        ("--model Classifier", "Expected `model.network` to be given, but it is missing."),
        ("--model Classifier --model.network tests.own_models.Net --model.feature_layer f", "a layer of Net.* `f`"),
        ("--model Backbone --model.name resnet19", "`model.name` to be a classification.*did you mean resnet1"),
        ("--model Backbone --model.weights best", "`model.weights` to be one of IMAGENET1K_V1, DEFAULT, or.*`best`"),
        (
            "--model Classifier --model.network tests.own_models.make_net_unannotated",
            "the annotation `-> torch.nn.Module`",
        ),
        ("--model Classifier --model.network torchvision.models.resnet81", "got `torchvision.models.resnet81`: "),
        (
            "--model Classifier --model.network torchvision.models.resnet18 --model.network.groups 3",
            "Classifier can use, but got: BasicBlock only supports groups=1",
        ),
        ("--model DropoutHead", "one of Backbone, Classifier, DropoutMLP, Ensemble, .*, or.*`DropoutHead`"),
        ("--model tests.own_models.ForwardOnly --loop.reinit hot", "`loop.reinit` to be one of 'scratch', 'initial', "),
    ],
)
def test_bad_input_gets_one_sentence(capsys: pytest.CaptureFixture, tmp_path: Path, flags: str, sentence: str) -> None:
    words = ["fit", *TINY, "--loop.run_dir", str(tmp_path / "run"), *flags.split()]
    assert re.search(sentence, refused(capsys, *words))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("command", "method"), [("test", "test_step"), ("predict", "predict_step")])
def test_other_commands_say_which_method_they_need(
    capsys: pytest.CaptureFixture, tmp_path: Path, command: str, method: str
) -> None:
    main(["fit", *TINY, *MODELS["forward"], "--loop.run_dir", str(tmp_path)])
    capsys.readouterr()
    words = ["--config", str(tmp_path / "config.yaml"), "--ckpt_path", str(tmp_path / "model.ckpt")]
    assert refused(capsys, command, *words) == f"Expected the model ForwardOnly to have `{method}`, but it has not."


def test_pretrained_weights_are_kept_for_each_round_and_not_drawn_anew(
    capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    weights, run_dir = tmp_path / "weights.pt", tmp_path / "run"
    theirs = models.get_model("shufflenet_v2_x0_5", weights=None)
    torch.save(theirs.state_dict(), weights)
    words = ["fit", *TINY, "--model", "Backbone", "--model.name", "shufflenet_v2_x0_5", "--model.weights", str(weights)]
    words += ["--loop.run_dir", str(run_dir)]
    assert "`loop.reinit` to be initial or warm with a pretrained model, but got scratch" in refused(capsys, *words)
    assert not run_dir.exists()
    main([*words, "--loop.reinit", "initial"])
    assert labeled(run_dir) == [40, 50]
    kept = torch.load(run_dir / "initial.pt", weights_only=True)["weights"]
    fitted = torch.load(run_dir / "model.ckpt", weights_only=True)["state_dict"]
    assert kept["body.conv1.0.weight"].equal(theirs.conv1[0].weight)
    assert not fitted["body.conv1.0.weight"].equal(theirs.conv1[0].weight)


def test_any_network_predicts_from_its_checkpoint(tmp_path: Path) -> None:
    main(["fit", *TINY, *MODELS["network"], "--loop.run_dir", str(tmp_path), "--loop.reinit", "warm"])
    main(["predict", "--config", str(tmp_path / "config.yaml"), "--ckpt_path", str(tmp_path / "model.ckpt")])
    with (tmp_path / "predictions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 50


def test_a_network_is_made_by_a_function(tmp_path: Path) -> None:
    images = ["--data", "tests.own_models.ColorImages", *TINY[2:]]
    words = ["--model", "Classifier", "--model.network", "torchvision.models.resnet18"]
    words += ["--model.network.num_classes", "10", "--loop.run_dir", str(tmp_path), "--loop.strategy", "BADGE"]
    main(["fit", *images, *words])
    first = labeled(tmp_path)
    main(["fit", "--config", str(tmp_path / "config.yaml"), "--loop.run_dir", str(tmp_path), "--loop.num_rounds", "2"])
    assert (first, labeled(tmp_path)) == ([40, 50], [40, 50, 60])
    model = fit_objects(["--config", str(tmp_path / "config.yaml")])[1]
    assert isinstance(model.network, models.ResNet)


def test_what_a_function_passes_on_is_a_flag(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    words = ["--model", "Classifier", "--model.network", "timm.create_model"]
    words += ["--model.network.model_name", "test_vit", "--model.network.img_size", "16"]
    words += ["--model.network.patch_size", "8", "--model.network.num_classes"]
    network = fit_objects([*words, "7"])[1].network
    plain = timm.create_model("test_vit", img_size=16, patch_size=8, num_classes=7)
    assert [p.shape for p in network.parameters()] == [p.shape for p in plain.parameters()]
    assert "unexpected keyword argument 'num_clases'" in refused(
        capsys, "fit", *words[:-1], "--model.network.num_clases", "7"
    )
    images = ["--data", "tests.own_models.ColorImages", *TINY[2:]]
    words = [*words[:4], "--model.network.model_name", "resnet18", "--model.network.num_classes", "10"]
    main(["fit", *images, *words, "--loop.run_dir", str(tmp_path), "--loop.strategy", "CoreSet"])
    assert labeled(tmp_path) == [40, 50]
