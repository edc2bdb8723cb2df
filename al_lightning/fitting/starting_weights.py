"""StartingWeights: the weights at the start of each round's fit."""

import io
import pickle
from pathlib import Path
from typing import Literal

import lightning.pytorch as L
import torch
from torch import Tensor, nn

from al_lightning.errors import InputError
from al_lightning.fitting.model_maker import ModelMaker
from al_lightning.fitting.module_state import ModuleState
from al_lightning.random_streams import stream_seed
from al_lightning.run_folder.digest import digest
from al_lightning.run_folder.files import replace_file

Reinit = Literal["scratch", "initial", "warm"]
REINIT: tuple[Reinit, ...] = ("scratch", "initial", "warm")


class StartingWeights:
    """Brings a model into the state at the start of a round's fit.

    The weights that later rounds start from are kept in the run folder, and each round reads them from there. So a
    continued run does the same as a run that was never stopped.

    Args:
        reinit: ``scratch``: new weights, as the model's constructor makes them. ``initial``: the weights before the
            first fit. ``warm``: the weights after the last fit.
        seed: Seed of the drawn weights.
        folder: The run folder. Without it, there is only one round.
        maker: Draws the weights of ``scratch``.
        state: State of the model besides its weights before the first fit; the maker may restore it instead.

    Raises:
        InputError: From its methods, if a file is missing, damaged, or belongs to another model.
    """

    def __init__(
        self,
        reinit: Reinit,
        seed: int,
        folder: Path | None = None,
        maker: ModelMaker | None = None,
        state: ModuleState | None = None,
    ) -> None:
        self._reinit = reinit
        self._seed = seed
        self._folder = folder
        self._maker = maker
        self._state = state

    def begin(self, model: nn.Module, is_new: bool) -> None:
        """Keeps the weights before the first fit. A continued run has them already."""
        if self._reinit != "scratch" and is_new:
            self._save(model, "initial.pt")

    def restore(self, model: L.LightningModule, round: int) -> None:
        """Brings a model into the state at the start of a round's fit."""
        if self._state is not None:
            self._state.restore(model)
        if self._maker is not None:
            self._maker.renew(model, stream_seed(self._seed, "weights", round))
            return
        # A fit in 64-true or 16-true leaves the model in that precision.
        model.to(torch.get_default_dtype())
        if self._folder is not None:
            name = f"warm{round - 1}.pt" if self._reinit == "warm" and round > 0 else "initial.pt"
            try:
                model.load_state_dict(self._load(name))
            except RuntimeError as error:
                raise InputError(
                    f"Expected {self._folder / name} to hold the weights of a {type(model).__name__} like this one, "
                    "but it holds others."
                ) from error

    def keep(self, model: nn.Module, round: int) -> None:
        """Keeps the weights after the fit of a round, before the round is committed."""
        if self._reinit == "warm":
            self._save(model, f"warm{round}.pt")

    def discard(self, round: int) -> None:
        """Removes files that are not needed after the commit of a round.

        The files of the round before stay. A finished run may get more rounds: then its last round is repeated, with a
        query.
        """
        if self._folder is not None:
            for path in self._folder.glob("warm*.pt"):
                if path.stem.removeprefix("warm").isdecimal() and int(path.stem.removeprefix("warm")) < round - 1:
                    path.unlink()

    def _save(self, model: nn.Module, name: str) -> None:
        """Writes a complete file, or none."""
        assert self._folder is not None
        weights = {key: value.detach().cpu() for key, value in model.state_dict().items()}
        content = io.BytesIO()
        torch.save({"weights": weights, "sha256": digest(weights)}, content)
        replace_file(self._folder / name, content.getbuffer())

    def _load(self, name: str) -> dict[str, Tensor]:
        assert self._folder is not None
        path = self._folder / name
        if not path.exists():
            raise InputError(f"Expected {path}, from which the next fit starts, but it is missing.")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            weights, expected = content["weights"], content["sha256"]
        except (EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
            raise InputError(f"Expected {path} as it was saved, but it was edited or is torn.") from error
        if digest(weights) != expected:
            raise InputError(f"Expected {path} as it was saved, but it was edited or is torn.")
        return weights
