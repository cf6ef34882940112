"""What a small and a large model each get: how much to read, how it is chosen, which rules.

A model of a billion parameters and fewer loses the thread in long passages and many rules; a
larger one loses by having only a few sentences of them. So what helps the small one is not put
on the large one, unless a person sets it.
"""

from dataclasses import dataclass, replace
from typing import Any

from assistant.engines.source import context_of, count_parameters, local_folder
from assistant.prompts import Profile
from core.home import Home
from core.settings import Settings

SMALL_PARAMETERS = 1_000_000_000
"""A model with fewer is small."""
SHORT_CONTEXT = 4096
"""A model that reads fewer tokens is small, too: a large budget would find no room."""
LARGE_PASSAGES = 8
LARGE_EVIDENCE = 6000
"""Most tokens of passages, however long the context; a quarter of the context at most."""
LARGE_ANSWER = 512


@dataclass(frozen=True)
class ModelSize:
    """What is known of a model before it is loaded."""

    parameters: int | None
    """None where its files are not here, or are packed and cannot be counted."""
    context_tokens: int | None

    @property
    def profile(self) -> Profile:
        """The profile that the setting `auto` stands for; what is not known counts as large."""
        few = self.parameters is not None and self.parameters < SMALL_PARAMETERS
        short = self.context_tokens is not None and self.context_tokens < SHORT_CONTEXT
        return Profile.SMALL if few or short else Profile.LARGE


def fitted(home: Home) -> Home:
    """Return `home` with the settings that its model is served with; loads and fetches nothing."""
    return replace(home, settings=fitted_settings(home.settings, size_of(home.settings)))


def fitted_settings(settings: Settings, size: ModelSize | None) -> Settings:
    """Resolve `prompt_profile`, and fill in what nobody set.

    A value that a person set stays. Fitting twice changes nothing, and settings fitted to one
    model can be fitted to another.

    Args:
        settings: as read.
        size: of the model that they name; None: the embedded one.
    """
    given = settings.model_fields_set
    chosen = settings.prompt_profile if "prompt_profile" in given else "auto"
    if chosen == "auto":
        given = given - {"prompt_profile"}
    measured = size.profile if size else Profile.SMALL
    profile = measured if chosen == "auto" else Profile(chosen)
    fills: dict[str, Any] = {"prompt_profile": profile.value}
    if profile is Profile.LARGE:
        context = (size.context_tokens if size else None) or SHORT_CONTEXT
        fills |= {
            "evidence_finder": "off",
            "passages": LARGE_PASSAGES,
            "evidence_tokens": max(50, min(LARGE_EVIDENCE, context // 4)),
            "answer_tokens": LARGE_ANSWER,
        }
    values = {
        name: getattr(settings, name) if name in given else fills.get(name, field.default)
        for name, field in Settings.model_fields.items()
    }
    if "rag_reader" not in given and (size is not None or values["evidence_finder"] == "off"):
        # The reader fits the embedded model, and was trained on what a finder chooses.
        values["rag_reader"] = "off"
    return Settings.model_construct(_fields_set=set(given), **values)


def size_of(settings: Settings) -> ModelSize | None:
    """Look at the files of the model that `settings` name; None: it is the embedded one."""
    if settings.model == "embedded":
        return None
    folder = local_folder(settings)
    if folder is None:
        return ModelSize(None, None)
    return ModelSize(count_parameters(folder), context_of(folder))
