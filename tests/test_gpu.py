"""What a GPU must not change, on machines that have one: the order of scores, and a run that is stopped."""

import copy
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torchvision.transforms import v2

from al_lightning.cli import main
from al_lightning.data.augmentations import RandomShift, augment_all, augment_each
from al_lightning.inference import PoolPredictor
from al_lightning.run_folder import read_rounds
from al_lightning.strategies import Consistency, QueryStrategy
from al_lightning.testing.small_models import LABELED, POOL, fitted_model, images
from tests.helpers import generator, make_pool, make_strategy
from tests.strategies.test_contract import STRATEGIES
from tests.test_configs import STRATEGY_CONFIGS
from tests.test_kill import assert_same

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

TINY = ["--trainer.max_epochs", "3"]


def fit(config: Path, run_dir: Path, *flags: str) -> None:
    words = ["fit", "--config", str(config), *TINY, "--loop.run_dir", str(run_dir), *flags]
    if config.stem in ("csal", "consistency_supervised"):
        words += ["--loop.strategy.num_augmentations", "5"]  # of 50, which take their time
    main(words)


@pytest.mark.parametrize("config", STRATEGY_CONFIGS, ids=lambda path: path.stem)
def test_a_run_is_on_the_gpu_and_continues_to_the_same_bits(config: Path, tmp_path: Path) -> None:
    fit(config, tmp_path / "whole", "--loop.num_rounds", "2")
    assert yaml.safe_load((tmp_path / "whole/config.yaml").read_text())["trainer"]["accelerator"] == "cuda"
    for num_rounds in ("1", "2"):
        fit(config, tmp_path / "continued", "--loop.num_rounds", num_rounds)
    assert_same(tmp_path / "continued", tmp_path / "whole")
    assert (tmp_path / "continued/calibration.csv").read_bytes() == (tmp_path / "whole/calibration.csv").read_bytes()
    assert all(row.test_acc > 0.6 for row in read_rounds(tmp_path / "whole"))


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed", "64-true"])
@pytest.mark.parametrize("strategy", ["badge", "bald", "core_set", "csal"])
def test_other_precisions(strategy: str, precision: str, tmp_path: Path) -> None:
    fit(Path(f"configs/{strategy}.yaml"), tmp_path, "--loop.num_rounds", "1", "--trainer.precision", precision)
    assert all(row.test_acc > 0.6 for row in read_rounds(tmp_path))


def test_queries_are_scored_in_bf16_by_default(tmp_path: Path) -> None:
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("needs bfloat16")
    for precision in ("auto", "bf16-mixed", "32-true", "trainer"):
        flags = ("--loop.num_rounds", "1", "--loop.scoring_precision", precision)
        fit(Path("configs/margin.yaml"), tmp_path / precision, *flags)
    auto, low, plain, trainer = (
        (tmp_path / name / "queries.csv").read_bytes() for name in ("auto", "bf16-mixed", "32-true", "trainer")
    )
    assert auto == low != plain == trainer
    assert read_rounds(tmp_path / "auto")[0].test_acc == read_rounds(tmp_path / "32-true")[0].test_acc


def test_the_last_model_is_that_of_the_cpu_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(Path("configs/random.yaml"), tmp_path, "--loop.num_rounds", "0")
    words = ["test", "--config", str(tmp_path / "config.yaml"), "--ckpt_path", str(tmp_path / "model.ckpt")]
    (last,) = read_rounds(tmp_path)
    for accelerator in ("cpu", "cuda"):
        capsys.readouterr()
        main([*words, "--trainer.accelerator", accelerator])
        assert f"{last.test_acc:.3f}" in capsys.readouterr().out


def gpu_pool(**kwargs: Any) -> PoolPredictor:
    model = copy.deepcopy(fitted_model()).cuda()
    return make_pool(images(POOL), model, images(LABELED), transfer=lambda block: block.cuda(), **kwargs)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.__name__)
def test_scores_are_those_of_the_cpu(strategy: type[QueryStrategy]) -> None:
    there, here = gpu_pool(), make_pool(images(POOL), labeled=images(LABELED))
    answers = [make_strategy(strategy.__name__).answer(pool, 30, generator()) for pool in (there, here)]
    if answers[1].scores is None:
        assert answers[0].positions.tolist() == answers[1].positions.tolist()
    else:
        torch.testing.assert_close(answers[0].scores, answers[1].scores, atol=1e-5, rtol=0)


def test_scores_under_autocast_are_float32_and_close() -> None:
    autocast = partial[AbstractContextManager](torch.autocast, "cuda", torch.bfloat16)
    low, full = (Consistency(5).scores(pool) for pool in (gpu_pool(precision=autocast), gpu_pool()))
    assert low.dtype == torch.float32
    assert torch.corrcoef(torch.stack([low, full]))[0, 1] > 0.99


@pytest.mark.parametrize("transform", [RandomShift(2, mirror=0.5), v2.RandomErasing(1.0)], ids=["ours", "v2"])
def test_augmentations_are_those_of_the_cpu(transform: torch.nn.Module) -> None:
    images = torch.randn(16, 1, 28, 28, generator=generator())
    there = images.cuda()
    assert torch.equal(augment_all(transform, there, 7).cpu(), augment_all(transform, images, 7))
    each = [augment_each(transform, inputs, generator(3)).cpu() for inputs in (there, images)]
    assert torch.equal(*each)


def test_noise_on_the_gpu_is_that_of_its_seed_and_leaves_other_streams_alone() -> None:
    images, noise = torch.zeros(4, 1, 28, 28, device="cuda"), v2.GaussianNoise(clip=False)
    torch.manual_seed(0)
    expected = torch.rand(3, device="cuda")
    torch.manual_seed(0)
    first, second, other = (augment_all(noise, images, seed) for seed in (7, 7, 8))
    each = [augment_each(noise, images, generator(seed)) for seed in (3, 3)]
    assert torch.equal(torch.rand(3, device="cuda"), expected)
    assert torch.equal(first, second)
    assert torch.equal(*each)
    assert not torch.equal(first, other)
