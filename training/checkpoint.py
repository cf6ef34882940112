"""Checkpoints of the small training loops: weights and optimiser state, never pickled."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from core.errors import Conflict
from core.workspace import folder_written_atomically, remove_folder
from training.checkpoint_files import checkpoint_folder, keep_newest, newest_whole, seal
from training.divergence import diverged

_STATE = "state.safetensors"
_FACTS = "state.json"
_MOMENTS = ("exp_avg", "exp_avg_sq")


class Checkpoint:
    """The newest states of a training loop, in one folder."""

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], log: Callable[[str], None]
    ) -> None:
        """`identity` says what is trained on and how; another one's state is refused.

        `log` is told of states that are damaged, which are passed over.
        """
        self._folder = folder
        self._identity = json.loads(json.dumps(dict(identity)))
        self._log = log

    def save(
        self, step: int, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.AdamW
    ) -> None:
        """Add a state; an interruption leaves those before.

        Raises:
            InvalidInput: a weight is no number any more; nothing is saved.
        """
        tensors = {name: value.detach().cpu().contiguous() for name, value in parameters.items()}
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise diverged(step, "a weight is no number any more", optimizer.param_groups[0]["lr"])
        for name, parameter in parameters.items():
            for moment in _MOMENTS:
                if moment in optimizer.state.get(parameter, {}):
                    tensors[f"{moment}/{name}"] = optimizer.state[parameter][moment].cpu()
        target = checkpoint_folder(self._folder, step)
        remove_folder(target)
        with folder_written_atomically(target) as folder:
            save_file(tensors, folder / _STATE)
            facts = {"step": step, "identity": self._identity}
            (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
            seal(folder)
        keep_newest(self._folder)

    def begin(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimizer: torch.optim.AdamW,
        *,
        resume: bool,
    ) -> int:
        """Go on from what is there, or delete it: it must not be taken for the new loop's.

        Returns:
            The steps done.

        Raises:
            Conflict: as `load`.
        """
        if resume:
            return self.load(parameters, optimizer)
        remove_folder(self._folder)
        return 0

    def load(self, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.AdamW) -> int:
        """Put the newest undamaged state in place; return the steps done, 0 where there is none.

        Raises:
            Conflict: the state belongs to other data or settings.
        """
        newest = newest_whole(self._folder, self._log)
        if newest is None:
            return 0
        facts = json.loads((newest / _FACTS).read_text(encoding="utf-8"))
        if facts["identity"] != self._identity:
            raise Conflict(
                f"The checkpoint in '{newest}' was made with other data or settings. "
                "Give the same ones, or start anew without --resume."
            )
        step = int(facts["step"])
        with safe_open(newest / _STATE, framework="pt") as file:
            names = set(file.keys())
            for name, parameter in parameters.items():
                parameter.data.copy_(file.get_tensor(name))
                if f"{_MOMENTS[0]}/{name}" in names:
                    state = {
                        moment: file.get_tensor(f"{moment}/{name}").to(parameter.device)
                        for moment in _MOMENTS
                    }
                    optimizer.state[parameter] = {"step": torch.tensor(float(step)), **state}
        return step


def rate(step: int, steps: int, *, warmup: int, decay_share: float) -> float:
    """Factor of the learning rate, 0 to 1: warm up, stay, fall linearly over the last part.

    A plateau lets the number of steps be changed while a run goes on (WSD; Hu et al. 2024).
    """
    left = (steps - step) / max(1.0, decay_share * steps)
    return max(0.0, min(1.0, (step + 1) / max(1, warmup), left))
