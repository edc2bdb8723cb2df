"""What the README and the documents show works as shown, and is written in short sentences."""

import contextlib
import io
import logging
import re
import shlex
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from mkdocs.commands.build import build
from mkdocs.config import load_config

import al_lightning
from al_lightning import PoolPredictor, ScoreStrategy, TensorBlocks
from al_lightning.cli import main
from al_lightning.data import Features
from al_lightning.sweep.plan import read_plan
from scripts.sentences import count, count_docstrings
from scripts.site import in_markdown
from tests.test_architecture import FOLDERS

PAGES = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
DOCUMENTS = "".join(path.read_text() for path in PAGES)
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", DOCUMENTS, flags=re.DOTALL)
LINES = [line for language, block in BLOCKS if language == "bash" for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = list(dict.fromkeys(line.strip() for line in LINES if "al-lightning fit" in line))
FEATURES = list(dict.fromkeys(line.strip() for line in LINES if line.strip().startswith("al-lightning features")))
SWEEPS = [line for line in LINES if "al-lightning sweep" in line and "my_" not in line]
OTHERS = [line for line in LINES if re.match(r"al-lightning (report|label|suggest|predict) ", line)]


# ------------------------------------------------------------------------------------------------------------ examples


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "FashionMNIST()" in block]
    root = str(Path("data").resolve())
    monkeypatch.chdir(tmp_path)
    code = code.replace("FashionMNIST()", f"FashionMNIST(root={root!r})")
    tiny = code.replace("num_rounds=100", "num_rounds=1").replace("max_epochs=200", "max_epochs=2")
    assert tiny.count("=1)") + tiny.count("=1,") >= 1
    exec(compile(tiny, "get_started.md", "exec"), {})
    assert (tmp_path / "runs/badge/seed0/rounds.csv").read_text().count("\n") == 3


def test_the_strategy_example_queries_what_it_says() -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "class Impurity" in block]
    namespace: dict = {}
    exec(compile(code, "own_strategy.md", "exec"), namespace)
    (strategy,) = [value for name, value in namespace.items() if name not in ("ScoreStrategy", "__builtins__")]
    assert issubclass(strategy, ScoreStrategy)
    probs = torch.tensor([[0.9, 0.1, 0.0], [0.4, 0.3, 0.3], [0.5, 0.5, 0.0]])  # impurities 0.18, 0.66 and 0.5
    everything, nothing = (TensorBlocks(probs.log(), torch.arange(n)) for n in (3, 0))
    query = strategy().query(PoolPredictor(torch.nn.Identity(), everything, nothing), 2, torch.Generator())
    assert query.tolist() == [1, 2]


@pytest.mark.parametrize("name", ["Impurity", "Spread", "InputGradient", "MirroredToo"])
def test_the_strategies_shown_keep_the_contract(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and f"class {name}" in block]
    (tmp_path / f"my_{name.lower()}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    main(["check", f"my_{name.lower()}.{name}"])
    assert "that apply hold" in capsys.readouterr().out


def test_the_ensemble_shown_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "class LinearNets" in block]
    (command,) = [line for line in COMMANDS if "my_models.LinearNets" in line]
    (tmp_path / "my_shown_models.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command.replace("my_models", "my_shown_models").replace("num_rounds 10", "num_rounds 1"))
    main([*words[1:], "--trainer.max_epochs", "3", "--loop.run_dir", "run"])
    assert len((tmp_path / "run/rounds.csv").read_text().splitlines()) == 3


def test_the_launcher_shown_hands_runs_to_slurm(
    tmp_path: Path, forked_python: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", forked_python)
    (code,) = [block for language, block in BLOCKS if language == "python" and "class Slurm" in block]
    (tmp_path / "my_shown_launchers.py").write_text(code)
    (tmp_path / "srun").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/job\nexit 3\n')
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(SystemExit):
        main(["sweep", "--strategies", "Random", "--launcher", "my_shown_launchers.Slurm"])
    assert "random seed 0: failed: srun ended with code 3" in capsys.readouterr().out
    job = (tmp_path / "job").read_text()
    assert job.startswith("--cpus-per-task=1 al-lightning fit --loop.strategy Random")
    assert job.endswith("--loop.run_dir runs/sweep/random/seed0\n")


def test_the_metrics_shown_are_measured() -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "torchmetrics" in block]
    namespace: dict = {}
    exec(compile(code, "your_own.md", "exec"), namespace)
    found = namespace["loop"].metrics.compute(torch.eye(10), torch.arange(10))
    assert {name: float(value) for name, value in found.items()} == pytest.approx({"test_top3": 1, "test_kappa": 1})


def test_the_loop_of_ones_own_labels_what_it_asks_for() -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "PoolPredictor(" in block]
    assert len([line for line in code.splitlines() if line]) <= 15
    torch.manual_seed(0)
    namespace: dict = {}
    exec(compile(code, "own_strategy.md", "exec"), namespace)
    labeled, model, query = namespace["labeled"], namespace["model"], namespace["query"]
    assert labeled[:20].all()
    assert int(labeled.sum()) == 70
    assert len(set(query.tolist())) == 10
    arrays = namespace["Digits"]().load()
    with torch.no_grad():
        accuracy = (model(arrays.test_inputs).argmax(dim=1) == arrays.test_targets).float().mean()
    assert accuracy > 0.7


def test_the_data_example_is_data() -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "load_wine" in block]
    namespace: dict = {}
    exec(compile(code, "your_own.md", "exec"), namespace)
    assert namespace["data"].count_classes() == 3
    assert namespace["data"].draw_initial(None).shape == (30,)


@pytest.mark.filterwarnings("ignore:Monte Carlo dropout takes")
def test_the_text_example_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "pad_sequence" in block]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "your_own.md", "exec"), {})
    last = (tmp_path / "runs/words/rounds.csv").read_text().splitlines()[-1].split(",")
    assert last[1] == "20"
    assert float(last[2]) > 0.8


# ------------------------------------------------------------------------------------------------------------ commands


@pytest.mark.parametrize("command", COMMANDS)
def test_the_flags_of_a_command_are_known(command: str, capsys: pytest.CaptureFixture) -> None:
    words = shlex.split(command.replace("$seed", "0"), comments=True)
    words = words[words.index("fit") :]
    if not words[1].startswith("-") or any(name in command for name in ("my_", "RUN", "again/")):
        pytest.skip("needs the reader's own files")
    with pytest.raises(SystemExit) as stop:
        main([*words, "--print_config"])
    assert stop.value.code == 0, capsys.readouterr().err


@pytest.mark.parametrize("command", FEATURES)
def test_the_flags_that_make_features_are_known(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*shlex.split(command, comments=True)[1:], "--print_config"])
    assert stop.value.code == 0, capsys.readouterr().err


def test_rows_of_ones_own_become_a_file_of_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "write_features" in block]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "features.md", "exec"), {})
    data = Features("own.npz", test_fraction=0.0)
    assert (data.list_class_names(), data.file_of(2)) == (["cat", "dog"], str(Path("photos/c.jpg")))


def test_the_arms_of_a_sweep_are_known(
    forked_python: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """All arms are checked in this process: one of its own for each command would import Lightning again."""
    words = [words[words.index("sweep") + 1 :] for words in (shlex.split(line, comments=True) for line in SWEEPS)]
    arms = {arm.flags for command in words for arm in read_plan(command).arms}
    assert len(arms) > 10
    for flags in arms:
        with pytest.raises(SystemExit) as stop:
            main(["fit", *flags, "--print_config"])
        assert stop.value.code == 0, capsys.readouterr().err
    monkeypatch.setattr(sys, "executable", forked_python)
    (dry,) = [command for command in words if "--dry_run" in command]
    main(["sweep", *dry])
    assert "al-lightning fit " in capsys.readouterr().out


@pytest.mark.parametrize("command", OTHERS)
def test_an_option_of_another_command_is_in_its_help(command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    with contextlib.redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit):
        main([words[0], "--help"])
    assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--\w+", output.getvalue()))


# --------------------------------------------------------------------------------------------------------------- links


def test_nothing_is_left_to_be_filled_in() -> None:
    assert "@" not in DOCUMENTS
    assert "TODO" not in DOCUMENTS


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        assert "://" in target or (page.parent / target).exists(), target
    for name in re.findall(r"`((?:configs|scripts|al_lightning|tests|docs)/[\w./]+)`", text):
        assert Path(name).exists(), name


def test_every_heading_that_is_linked_to_exists() -> None:
    """By the names that GitHub gives headings; the strict build of the site checks those of MkDocs."""
    links = [(page, *link) for page in PAGES for link in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text())]
    assert len(links) > 10
    for page, target, anchor in links:
        headings = re.findall(r"^#+ (.+)$", ((page.parent / target) if target else page).read_text(), re.M)
        names = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
        assert anchor in names, (page, anchor)


def test_the_table_of_folders_is_that_of_the_architecture() -> None:
    table = Path("docs/design.md").read_text().split("<!-- folders -->")[1].split("<!-- end -->")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ?([\w, ]*)\|$", table, re.M)
    assert {folder: set(re.findall(r"\w+", imports)) for folder, imports in rows} == FOLDERS


# ------------------------------------------------------------------------------------------------------------ the site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``mkdocs build --strict`` does: the build fails with a warning."""
    folder = tmp_path_factory.mktemp("site")
    warnings = io.StringIO()
    handler = logging.StreamHandler(warnings)
    handler.setLevel(logging.WARNING)
    logging.getLogger("mkdocs").addHandler(handler)
    try:
        build(load_config("mkdocs.yml", strict=True, site_dir=str(folder)))
    except SystemExit:
        pytest.fail(warnings.getvalue())
    finally:
        logging.getLogger("mkdocs").removeHandler(handler)
    return folder


def test_the_site_has_all_pages(site: Path) -> None:
    for page in PAGES[1:]:
        assert (site / page.stem / "index.html").exists() or page.stem == "index"
    assert "Unreleased" in (site / "changelog/index.html").read_text()


def test_the_reference_has_all_public_names(site: Path) -> None:
    reference = (site / "reference/index.html").read_text()
    shown = set(re.findall(r'<h3 id="al_lightning\.(?:\w+\.)*(\w+)"', reference))
    assert shown == set(al_lightning.__all__) - {"__version__"}
    assert "sample_logits" in reference  # of what a model may have
    assert ":class:" not in reference
    assert ":math:" not in reference


def test_formulas_need_no_script(site: Path) -> None:
    for page in ("strategies", "reference"):
        text = (site / page / "index.html").read_text()
        assert "<math" in text
        assert "arithmatex" not in text
        assert "<mi>\\" not in text, "a command of LaTeX that is not known"
    scripts = re.findall(r"<script[^>]* src=\"([^\"]+)", text)
    assert scripts
    assert not any("://" in script for script in scripts)


def test_roles_of_sphinx_become_markdown() -> None:
    written = in_markdown(
        "See :class:`~al_lightning.BADGE`, :func:`~al_lightning.strategies.geometry.outlier_percentiles` and "
        ":attr:`size`; :math:`x_1`.\n\n.. math:: x^2\n"
    )
    assert written == (
        "See [`BADGE`][al_lightning.strategies.badge.BADGE], `outlier_percentiles` and `size`; $x_1$.\n\n$$x^2$$\n"
    )


# --------------------------------------------------------------------------------------------------------------- prose


@pytest.mark.parametrize("page", [*PAGES, Path("results/README.md")], ids=str)
def test_sentences_are_short(page: Path) -> None:
    found = count(page.read_text())
    assert found.mean <= 18
    assert [sentence for sentence, length in zip(found.sentences, found.lengths, strict=True) if length > 40] == []


def test_only_prose_is_counted() -> None:
    found = count(
        "---\ntitle: a page\n---\n# A heading of five words\n\n"
        "**A title.** First sentence\nover two lines. A second one.\n\n"
        "```bash\nal-lightning fit. Or not.\n```\n\n"
        "| a | table |\n| --- | --- |\n| of. many | words. |\n\n"
        "- an item without a full stop\n- one with [a link](https://example.org/a.b)\n  that goes on.\n"
        "1. a numbered one\n\n"
        "![an image that is no prose](a.png)\n\n<!-- a comment. -->\n\n$$a + b.$$\n"
    )
    assert found.sentences == [
        "First sentence over two lines.",
        "A second one.",
        "an item without a full stop",
        "one with a link that goes on.",
        "a numbered one",
    ]
    assert found.lengths == [5, 3, 6, 7, 3]
    assert (found.mean, found.longest) == (24 / 5, 7)


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("It is 0.5 points. It is 1.5.", [4, 3]),
        ("Some, e.g. two or i.e. three, do. Smith et al. did.", [7, 4]),
        ("A colon: it goes on; a semicolon, too. Done!", [8, 1]),
        ("Is it so? (It is.) And `a.b. C` is code.", [3, 2, 5]),
        ("On 500, 600, ..., 10,500 labels - or more.", [7]),
        ("By J. Ash and others, Fig. 2. The end.", [7, 2]),
        ("The value $x. y$ is one word.", [6]),
        ("**Bold words inside** count. *So do these.*", [4, 3]),
        ("", []),
    ],
)
def test_sentences_end_where_they_do(text: str, lengths: list[int]) -> None:
    assert count(text).lengths == lengths


def test_sentences_of_docstrings_are_short() -> None:
    found = {path: count_docstrings(path.read_text()) for path in sorted(Path("al_lightning").rglob("*.py"))}
    lengths = [length for counted in found.values() for length in counted.lengths]
    assert len(lengths) > 1000
    assert sum(lengths) / len(lengths) <= 18
    assert {str(path): counted.longest for path, counted in found.items() if counted.longest > 40} == {}


def test_only_prose_of_docstrings_is_counted() -> None:
    code = '''
        """A module. It has code::

            not. counted.

        After the code."""

        WIDTH = 3
        """Width in pixels."""


        def area(height, **options):
            """Multiplies two lengths.

            .. math:: a. = wh

            Two things count:

            - width;
            - height, in the
              same unit.

            Args:
                height: Of the image, e.g. ``1. 5``,
                    in pixels. At least 1.
                **options: Others.

            Returns:
                The area: a number.

            Raises:
                ValueError: If ``height`` is 0.

            Example:
                >>> area(2. + 3.)
                15.0
            """
            return "a string. Not a docstring."
    '''
    assert count_docstrings(textwrap.dedent(code)).sentences == [
        "A module.",
        "It has code",
        "After the code.",
        "Width in pixels.",
        "Multiplies two lengths.",
        "Two things count:",
        "width;",
        "height, in the same unit.",
        "Of the image, e.g. 1· 5, in pixels.",
        "At least 1.",
        "Others.",
        "The area: a number.",
        "If height is 0.",
    ]
