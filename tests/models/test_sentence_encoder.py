"""Language models as encoders of texts: a small one of transformers, made from a config."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from al_lightning import InputError, SentenceEncoder
from al_lightning.cli import main
from al_lightning.data.features_file import read_features
from al_lightning.data.text_bytes import bytes_of
from tests.helpers import hide_packages

transformers = pytest.importorskip("transformers")

WORDS = ["good", "fine", "bad", "poor", "the", "film", "was", "very", "not"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a language model, as `save_pretrained` writes it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    path = tmp_path_factory.mktemp("model")
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=6
    ).save_pretrained(path)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
    )
    transformers.BertModel(config).save_pretrained(path)
    return str(path)


def block(*texts: str) -> torch.Tensor:
    return pad_sequence([bytes_of(text) for text in texts], batch_first=True)


def test_features_are_the_mean_over_the_tokens_of_a_text(folder: str) -> None:
    model = SentenceEncoder(folder, num_classes=3).eval()
    network = transformers.AutoModel.from_pretrained(folder).eval()
    ids = {word: i + 2 for i, word in enumerate(WORDS)}
    texts = ["good film", "the film was not very poor the film was cut", "unknown", "bad"]
    with torch.no_grad():
        found = model.embed(block(*texts))
        for text, row in zip(texts, found, strict=True):
            tokens = torch.tensor([[ids.get(word, 1) for word in text.split()][:6]])
            torch.testing.assert_close(row, network(tokens).last_hidden_state[0].mean(dim=0), atol=1e-5, rtol=1e-4)
        assert model(block(*texts)).shape == (4, 3)
        assert model.embed(block("")).isfinite().all()
    assert model.pretrained


def reviews(path: Path, num: int) -> list[str]:
    draw = np.random.default_rng(0)
    rows = []
    for i in range(num):
        label = ("pos", "neg")[i % 2]
        rows.append((f"the film was {draw.choice(['very ', ''])}{draw.choice(WORDS[2 * (i % 2) :][:2])} {i}", label))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return [text for text, _ in rows]


def test_texts_become_features_that_people_label(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = reviews(tmp_path / "reviews.csv", 30)
    words = f"--data Texts --data.path reviews.csv --model SentenceEncoder --model.name {folder} --out reviews.npz"
    main(["features", *words.split(), "--block_size", "7"])
    found = read_features(Path("reviews.npz"))
    assert found.train.texts == texts
    assert found.train.features.shape == (30, 16)
    model = SentenceEncoder(folder).eval()
    with torch.no_grad():
        np.testing.assert_allclose(found.train.features, model.embed(block(*texts)).numpy(), atol=1e-5)
    words = "--data Features --data.path reviews.npz --data.num_initial 4 --loop.oracle FileOracle --loop.run_dir run"
    main(["fit", *words.split(), "--data.classes", "[neg, pos]", "--loop.query_size", "2"])
    with Path("run/query.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [texts[int(row["file"].split(":")[1])] for row in rows]
    for row in rows:
        row["label"] = "neg" if int(row["text"].split()[-1]) % 2 else "pos"
    with Path("run/query.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    main(["fit", "run"])
    assert "round 0: 4 labels" in capsys.readouterr().out
    assert Path("run/queries.csv").read_text().count("\n") == 5


def test_a_language_model_is_trained_on_texts(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reviews(tmp_path / "reviews.csv", 24)
    words = f"--data Texts --data.path reviews.csv --data.label_column label --data.num_initial 8 --data.batch_size 4 \
        --model SentenceEncoder --model.name {folder} --loop.reinit initial --loop.strategy BADGE --loop.query_size 2 \
        --loop.num_rounds 1 --trainer.max_epochs 2 --loop.run_dir run"
    main(["fit", *words.split()])
    assert Path("run/rounds.csv").read_text().count("\n") == 3
    main(["predict", "run", "reviews.csv", "--out", "p.csv"])
    with Path("p.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    with Path("reviews.csv").open() as file:
        assert [row["text"] for row in rows] == [row["text"] for row in csv.DictReader(file)]
    assert list(rows[0])[:4] == ["file", "text", "predicted", "confidence"]


@pytest.mark.parametrize("package", ["sentence_transformers", "transformers"])
def test_without_a_package_the_extra_is_named(
    package: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_packages(monkeypatch, package, "sentence_transformers")
    name = folder
    if package == "sentence_transformers":
        name = str(tmp_path)
        (tmp_path / "modules.json").write_text("[]")
    called = package.replace("_", "-")
    with pytest.raises(InputError, match=rf"the package {called} for .* pip install 'al-lightning\[text\]'"):
        SentenceEncoder(name)


def test_a_folder_without_a_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="to be a folder with a language model, .* fails with: ") as error:
        SentenceEncoder(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_name_that_is_not_there_says_that_a_package_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **options: Any) -> None:
        raise OSError("There is no such model.")

    hide_packages(monkeypatch, "sentence_transformers")
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", refuse)
    with pytest.raises(InputError, match=r"no such model\. The package sentence-transformers, .* not installed: pip"):
        SentenceEncoder("all-MiniLM-L6-v2")
