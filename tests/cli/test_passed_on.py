"""Arguments that go through ``**kwargs`` are flags like all others."""

from pathlib import Path

import pytest

from al_lightning.cli.passed_on import name_passed_on

NET = "tests.own_models.make_net"


def test_only_what_goes_through_kwargs_has_another_name() -> None:
    words = ["--model.network", NET, "--model.network.width", "8", "--model.network.bias=false"]
    assert name_passed_on(words) == [*words[:4], "--model.network.dict_kwargs.bias=false"]
    assert name_passed_on(name_passed_on(words)) == name_passed_on(words)


@pytest.mark.parametrize(
    "words",
    [
        "--model.network torchvision.models.resnet18 --model.network.num_classes 4",  # followed through the source
        "--model.network tests.own_models.Net --model.network.depth 4",
        "--model.network nowhere.Net --model.network.depth 4",
        "--loop.strategy BALD --loop.strategy.num_samples 3",
        "--model.network a..b --model.network.c 3 --",
    ],
)
def test_other_flags_stay(words: str) -> None:
    assert name_passed_on(words.split()) == words.split()


def test_the_function_may_be_named_in_a_config(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"model: {{class_path: Classifier, init_args: {{network: {{class_path: {NET}}}}}}}")
    words = ["fit", "--config", str(path), "--model.network.bias", "false"]
    assert name_passed_on(words)[3] == "--model.network.dict_kwargs.bias"


def test_a_config_that_refers_to_itself_or_is_none_is_left_to_others(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for text in ("a: &a {class_path: b.C, init_args: {c: *a}}", "]", "5"):
        path.write_text(text)
        assert name_passed_on(["--config", str(path), "--a.d", "1"])[0] == "--config"
    assert name_passed_on([f"--config={tmp_path / 'none'}"]) == [f"--config={tmp_path / 'none'}"]
