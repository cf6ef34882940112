"""Which weights a model has, told from its files at once: nothing is converted or loaded."""

from assistant.engines.source import embedded_hash, locate_model
from core.home import Home


def model_hash(home: Home, model: str | None = None) -> str:
    """Identity of a model's weights, cheap enough for a page.

    Args:
        home: the installation.
        model: as in the setting `model`; None: that setting.

    Raises:
        EngineError: the model is not there, with the remedy.
    """
    name = model or home.settings.model
    if name == "embedded":
        # To locate it would convert it at its first use, which takes half a minute.
        return embedded_hash()
    settings = home.settings.model_copy(update={"model": name})
    return locate_model(settings, home.workspace).hash
