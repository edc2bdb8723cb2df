"""Text in batches that are mappings: a network of transformers, sentences of any length, and every strategy."""

from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from al_lightning import (
    BADGE,
    BALD,
    Classifier,
    Consistency,
    CoreSet,
    DataModuleAdapter,
    DatasetPool,
    Entropy,
    InputError,
    LeastConfidence,
    Margin,
    Random,
)
from al_lightning.data.datasets import DatasetBlocks
from al_lightning.inference import PoolPredictor
from al_lightning.strategies import QueryStrategy
from tests.helpers import generator
from tests.test_loop import make_loop, make_trainer, rows, timeless

transformers = pytest.importorskip("transformers")

NUM_WORDS, CLASSES = 300, 3


class Sentences(Dataset):
    """Words of three subjects: items as a tokenizer makes them, lists of ids of any length."""

    def __init__(self, size: int, seed: int) -> None:
        draw = generator(seed)
        self.labels = torch.randint(CLASSES, (size,), generator=draw).tolist()
        lengths = torch.randint(3, 9, (size,), generator=draw).tolist()
        self.ids = [
            (1 + torch.randint(100, (length,), generator=draw) + 100 * label).tolist()
            for length, label in zip(lengths, self.labels, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = self.ids[index]
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "label": self.labels[index]}


def pad(items: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Does the same as DataCollatorWithPadding of transformers, which needs a tokenizer."""
    names = ("input_ids", "attention_mask")
    batch = {name: pad_sequence([torch.tensor(item[name]) for item in items], batch_first=True) for name in names}
    return batch | {"labels": torch.tensor([item["label"] for item in items])}


def network() -> Any:
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=NUM_WORDS + 1,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=16,
            num_labels=CLASSES,
        )
    )


class Bert(L.LightningModule):
    """A module as users write it for a plain trainer."""

    feature_layer = "bert.classifier"

    def __init__(self) -> None:
        super().__init__()
        self.bert = network()

    def forward(self, **batch: Tensor) -> Any:
        return self.bert(**batch)

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        return self(**batch).loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=5e-3)


class ByMapping(Bert):
    """Its `forward` takes the whole batch."""

    def forward(self, batch: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
        return self.bert(batch["input_ids"], batch["attention_mask"]).logits

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        return torch.nn.functional.cross_entropy(self(batch), batch["labels"])


class Module(L.LightningDataModule):
    """A data module with the collate function in its loaders."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Sentences(160, 0), batch_size=16, shuffle=True, collate_fn=pad)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(Sentences(60, 1), batch_size=16, collate_fn=pad)


def pool(**kwargs: Any) -> DatasetPool:
    return DatasetPool(Sentences(160, 0), Sentences(60, 1), num_initial=80, batch_size=16, collate_fn=pad, **kwargs)


def run(
    path: Path, strategy: QueryStrategy, model: Any = None, data: Any = None, epochs: int = 2, **trainer: Any
) -> Any:
    loop = make_loop(path, strategy, num_rounds=1, reinit="initial")
    model = Bert() if model is None else model
    loop.run(make_trainer(loop, max_epochs=epochs, **trainer), model, pool() if data is None else data)
    return model


@pytest.mark.filterwarnings("ignore:Monte Carlo dropout takes")
@pytest.mark.parametrize(
    "strategy",
    [Random(), LeastConfidence(), Margin(), Entropy(), BALD(3), BADGE(), CoreSet()],
    ids=lambda strategy: type(strategy).__name__,
)
def test_a_run_with_each_strategy(tmp_path: Path, strategy: QueryStrategy) -> None:
    run(tmp_path, strategy)
    assert [row["num_labeled"] for row in rows(tmp_path)] == ["80", "90"]


@pytest.mark.parametrize("model", [Bert, ByMapping])
@pytest.mark.parametrize("data", [pool, lambda: DataModuleAdapter(Module(), num_initial=80)])
def test_it_learns_and_is_tested_as_it_is_called(tmp_path: Path, model: type, data: Any) -> None:
    fitted = run(tmp_path, Margin(), model(), data(), epochs=15).eval()
    test = Sentences(60, 1)
    with torch.no_grad():
        logits = torch.cat([fitted.bert(input_ids=torch.tensor([ids])).logits for ids in test.ids])
    accuracy = float((logits.argmax(dim=1) == torch.tensor(test.labels)).float().mean())
    assert accuracy > 0.6
    assert float(rows(tmp_path)[-1]["test_acc"]) == pytest.approx(accuracy, abs=1e-6)


def test_the_network_may_be_that_of_a_classifier(tmp_path: Path) -> None:
    model = Classifier(
        network(), CLASSES, feature_layer="classifier", optimizer=lambda params: torch.optim.Adam(params, lr=5e-3)
    )
    run(tmp_path, BADGE(), model, epochs=15)
    assert float(rows(tmp_path)[-1]["test_acc"]) > 0.6


def predictor(block_size: int, strategy_seed: int = 0) -> PoolPredictor:
    data = pool()
    blocks = data.source.rows().blocks()
    blocks.block_size = block_size
    assert isinstance(blocks, DatasetBlocks)
    return PoolPredictor(Bert(), blocks, blocks, mask_generator=generator(strategy_seed))


def test_predictions_are_those_of_one_sentence_at_a_time() -> None:
    asked = predictor(block_size=16)
    logits, embeddings = asked.map(lambda batch: (batch.logits, batch.embeddings))
    model = asked.model.eval()
    with torch.no_grad():
        for i, ids in enumerate(Sentences(160, 0).ids[:20]):
            hidden = model.bert.bert(input_ids=torch.tensor([ids])).pooler_output
            torch.testing.assert_close(embeddings[i], hidden[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(logits[i], model.bert.classifier(hidden)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Monte Carlo dropout takes")
def test_samples_of_dropout_do_not_depend_on_the_sentences_beside() -> None:
    scores = [predictor(size).map(lambda batch: batch.mc_log_probs(3)) for size in (160, 7)]
    assert scores[0].std(dim=1).mean() > 1e-3
    torch.testing.assert_close(scores[0], scores[1], atol=1e-5, rtol=1e-5)


def test_processes_that_read_change_no_bit(tmp_path: Path) -> None:
    for workers in (0, 1):
        run(tmp_path / str(workers), Margin(), data=pool(num_workers=workers))
    assert timeless(tmp_path / "0") == timeless(tmp_path / "1")
    assert rows(tmp_path / "0", "queries.csv") == rows(tmp_path / "1", "queries.csv")


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed", "64-true"])
def test_all_precisions(tmp_path: Path, precision: str) -> None:
    run(tmp_path, Margin(), precision=precision)
    assert len(rows(tmp_path)) == 2


def test_sentences_are_no_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected images.*RandomShift, but got several tensors, of shapes input_ids"):
        run(tmp_path / "run", Consistency())
    with pytest.raises(InputError, match="`features` of CoreSet to be penultimate for inputs of several tensors"):
        run(tmp_path / "run", CoreSet(features="inputs"))
    assert not (tmp_path / "run").exists()


def test_a_data_set_of_hugging_face(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    parts = [Sentences(160, 0), Sentences(60, 1)]
    train, test = (datasets.Dataset.from_list([part[i] for i in range(len(part))]) for part in parts)
    data = DatasetPool(train, test, num_initial=80, batch_size=16, collate_fn=pad)
    run(tmp_path / "datasets", BADGE(), data=data)
    run(tmp_path / "lists", BADGE())
    assert timeless(tmp_path / "datasets") == timeless(tmp_path / "lists")

    def same_length(row: dict[str, Any]) -> dict[str, Any]:
        return {name: (row[name] + [0] * 9)[:9] for name in ("input_ids", "attention_mask")}

    class ByNames(Bert):
        def training_step(self, batch: dict[str, Tensor]) -> Tensor:
            return self(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["label"]
            ).loss

    for name, form in (("plain", lambda part: part), ("torch", lambda part: part.with_format("torch"))):
        padded = [form(part.map(same_length)) for part in (train, test)]
        run(tmp_path / name, Margin(), ByNames(), DatasetPool(*padded, num_initial=80, batch_size=16))
    assert timeless(tmp_path / "plain") == timeless(tmp_path / "torch")
