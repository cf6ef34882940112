"""Every setting of an installation, read once from `INHOUSE_*` variables and flags."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import SettingsError

PREFIX = "INHOUSE_"

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Settings(BaseSettings):
    """Defaults run on a laptop without GPU or internet.

    Each field can be set as `INHOUSE_<FIELD>`; flags of the commands win over variables.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    workspace: Path = Field(Path("workspace"), description="Folder that holds all state.")
    database_url: str = Field("", description="PostgreSQL URL; empty: SQLite in the workspace.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(7860, ge=1, le=65535, description="Port to listen on.")
    secure_cookies: bool = Field(False, description="Send cookies over HTTPS only.")

    model: str = Field("embedded", description="'embedded', a Hugging Face id or a local folder.")
    dtype: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="Weights' type; auto: fp32 on the CPU, bf16 on a GPU."
    )
    quantization: Literal["none", "8bit", "4bit"] = Field("none", description="bitsandbytes.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the model runs.")
    embedder: str = Field(
        "embedded", description="'embedded' or a local sentence-transformers folder."
    )
    allow_downloads: bool = Field(False, description="May fetch a named model from its hub.")
    threads: int = Field(0, ge=0, description="CPU threads for the model; 0: all cores.")

    prompt_profile: Literal["auto", "small", "large"] = Field(
        "auto", description="Rules and budgets for a small or large model; auto: by its size."
    )
    passages: int = Field(5, ge=1, le=50, description="Passages put before the model.")
    evidence_tokens: int = Field(700, ge=50, description="Most tokens of passages in a prompt.")
    evidence_finder: Literal["builtin", "words", "off"] = Field(
        "builtin",
        description="Chooses sentences of found chunks; off: whole chunks go to the model.",
    )
    finder_tokens: int = Field(350, ge=50, description="Most tokens that the finder hands on.")
    rag_reader: Literal["off", "builtin", "quote"] = Field(
        "builtin",
        description="Mode rag: the embedded model with its built-in reader; off: the plain model; "
        "quote: the best sentences, without a language model.",
    )
    answer_tokens: int = Field(128, ge=1, le=8192, description="Longest answer, in tokens.")
    refusal_threshold: Share | Literal["auto"] = Field(
        "auto",
        description="Below this best-passage score documents modes refuse; 0: never; "
        "auto: the trained finder's own, else never.",
    )
    question_characters: int = Field(4000, ge=1, description="Longest question accepted.")

    chunk_tokens: int = Field(180, ge=32, le=2000, description="Longest chunk, in embedder tokens.")
    chunk_overlap: int = Field(30, ge=0, description="Tokens shared by neighbouring chunks.")
    upload_megabytes: int = Field(100, ge=1, description="Largest file accepted.")
    reading_seconds: float = Field(
        30.0, ge=1, description="Processor seconds to read a small file; larger ones get more."
    )
    reading_megabytes: int = Field(2048, ge=512, description="Memory that reading a file may take.")

    judge: str = Field("", description="Engine that also grades evaluations; empty: none.")
    price_per_hour: float = Field(0.0, ge=0, description="Of the machine, for evaluations' costs.")
    watts: float = Field(0.0, ge=0, description="Power while it answers; 0: no energy estimate.")
    price_per_kwh: float = Field(0.0, ge=0, description="Of its energy.")

    session_hours: float = Field(12.0, gt=0, description="A sign-in lasts this long.")
    sign_in_attempts: int = Field(
        5, ge=1, description="Failed sign-ins with a name from one address before it must wait."
    )
    lockout_minutes: float = Field(
        15.0, gt=0, description="Longest such wait; it starts at a second and doubles."
    )
    trusted_proxies: str = Field(
        "",
        description="Proxies whose X-Forwarded-For is believed: addresses or networks, "
        "with commas.",
    )
    parallel_answers: int = Field(4, ge=1, le=64, description="Answers written at the same time.")
    asks_per_person: int = Field(10, ge=1, description="Open questions one person may have.")
    asks_in_all: int = Field(100, ge=1, description="Open questions of all people together.")
    parallel_jobs: int = Field(1, ge=1, le=16, description="Long tasks at the same time.")
    job_pauses: str = Field(
        "1,10,60,300",
        pattern=r"^\d{1,6}(\.\d{1,3})?(,\d{1,6}(\.\d{1,3})?){0,19}$",
        description="Seconds before a task whose process died is tried again; after the last of "
        "these, without progress, it fails.",
    )

    @property
    def job_pauses_s(self) -> tuple[float, ...]:
        """`job_pauses` as numbers."""
        return tuple(float(pause) for pause in self.job_pauses.split(","))

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for one in value.split(","):
            if one.strip():
                ip_network(one.strip(), strict=False)
        return value

    @property
    def trusted_networks(self) -> list[str]:
        """The trusted proxies as networks, an IPv4 one also as IPv6 sockets write it."""
        named = (one.strip() for one in self.trusted_proxies.split(","))
        networks = [ip_network(one, strict=False) for one in named if one]
        mapped = [
            f"::ffff:{one.network_address}/{96 + one.prefixlen}"
            for one in networks
            if one.version == 4
        ]
        return [*map(str, networks), *mapped]

    @property
    def url(self) -> str:
        """Where the page is served."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def read_settings(**flags: Any) -> Settings:
    """Read variables; `flags` that are not None win.

    Raises:
        SettingsError: lists every wrong variable or flag with value and remedy.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = [_explain(problem, given) for problem in error.errors()]
        raise SettingsError("\n".join(["These settings cannot be used:", *lines])) from None


def _explain(problem: Any, flags: dict[str, Any]) -> str:
    field = str(problem["loc"][0])
    name = f"--{field.replace('_', '-')}" if field in flags else f"{PREFIX}{field.upper()}"
    about = Settings.model_fields[field].description if field in Settings.model_fields else ""
    return f"  {name}={problem['input']!r}: {problem['msg']}. {about}"
