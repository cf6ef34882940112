"""When training destroys what the model knew: told from the loss, and said with a remedy."""

import math

from core.errors import InvalidInput

_ABOVE_GUESSING = 1.1
"""Times the loss of a blind guess; so bad a loss over several steps does not come back."""
_RISE = 1.0
"""Nats per token by which what was taught may have become less likely at the end."""


def unsound(loss: float, guess: float, before: float | None) -> str | None:
    """Say what is wrong with a loss while training goes on; None: nothing that must end it.

    Args:
        loss: in nats per learned token, of one step or the mean of several.
        guess: of a model that takes all tokens for equally likely.
        before: of this model on these data, untrained.
    """
    if not math.isfinite(loss):
        return "the loss is no number any more"
    if loss > _ABOVE_GUESSING * max(guess, before or 0.0):
        return f"the loss, {loss:.1f}, is worse than that of a blind guess, {guess:.1f}"
    return None


def unlearned(after: float, before: float | None) -> str | None:
    """Say what is wrong at the end; both losses are of the same taught examples."""
    if not math.isfinite(after):
        return "the loss is no number any more"
    if before is not None and after > before + _RISE:
        return f"the loss on what was taught rose from {before:.2f} to {after:.2f}"
    return None


def diverged(step: int, reason: str, learning_rate: float, clipping: float = 1.0) -> InvalidInput:
    """Return the error that ends a run."""
    clip = "" if clipping else ", and set gradient_clipping to 1"
    return InvalidInput(
        f"Training diverged at step {step:,}: {reason}. No adapter was made; the last sound "
        f"checkpoint is kept. Start a new run with a lower learning_rate ({learning_rate}), e.g. "
        f"a third of it{clip}."
    )
