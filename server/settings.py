"""Every knob of an installation, described once, with units. Set by variables `QC_…`, or on the settings page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from qc.errors import InvalidInput

GIB = 1 << 30

ROOT = Path(__file__).resolve().parent.parent
"""The clone, or wherever the packages are installed."""

KEPT_FILE = "settings.json"
"""Under QC_HOME: what was set on the settings page (`server.settings_form`)."""


def kept_settings(home: Path) -> dict[str, Any]:
    """What was set on the settings page; raises InvalidInput where somebody spoilt the file."""
    file = home.resolve() / KEPT_FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}; correct it or remove it") from error
    if not isinstance(found, dict):
        raise InvalidInput(f'{file} must hold an object such as {{"keep_ok_days": 30}}; correct it or remove it')
    return found


class _Kept(PydanticBaseSettingsSource):
    """`QC_HOME/settings.json`, after arguments and environment, which say where QC_HOME is."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not asked: all of it is given at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """What is kept."""
        return kept_settings(Path(self.current_state.get("home", "var")))


MOST_WINDOWS = 4
"""Looked at at the same time, however many cores there are: each takes up to 1.4 GB (`segmentation.tiled`)."""


class Settings(BaseSettings):
    """The knobs. An environment variable is the name in capitals with QC_ in front: QC_HOME, QC_PORT, …"""

    model_config = SettingsConfigDict(env_prefix="QC_", extra="ignore", frozen=True, populate_by_name=True)

    home: Path = Field(default=Path("var"), description="Folder of all data; made when missing.")
    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 lets other machines in.")
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("QC_PORT", "PORT", "port"),
        description="TCP port to listen on.",
    )
    public_url: str = Field(
        default="",
        description="Address under which people and Label Studio reach this server; default http://host:port.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="PEM file with this server's certificate and those that vouch for it: then it speaks HTTPS only.",
    )
    tls_key: Path | None = Field(
        default=None, description="PEM file with the certificate's private key; default: it is in the same file."
    )
    database_url: str = Field(
        default="", description="Default: SQLite at QC_HOME/qc.sqlite3. postgresql+psycopg://… for PostgreSQL."
    )

    # inspecting
    inspection_workers: int = Field(default=1, ge=1, le=64, description="Parts inspected at the same time.")
    decoders: int = Field(
        default=0, ge=0, le=64, description="Processes that unpack pictures; 0: one for each core, at most 4."
    )
    torch_threads: int = Field(
        default=0, ge=0, le=256, description="Processor threads of a look; 0: half of the cores."
    )
    model_workers: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Processes in which the champion looks at parts, each with the model in its memory; 0: the "
        "server's own. Ask for as many parts at the same time (QC_INSPECTION_WORKERS).",
    )
    device: str = Field(
        default="auto", description="Where models learn and look: cpu, cuda; auto: cuda where there is such a device."
    )
    runtimes: bool = Field(
        default=True,
        description="Let the fastest runtime that gives the same verdicts compute the champion; if not, torch.",
    )
    max_waiting: int = Field(
        default=32, ge=1, le=1000, description="Parts that may wait for their verdict; more get 503."
    )
    max_images: int = Field(default=64, ge=1, le=999, description="Images of one inspection, at most.")
    max_upload_mb: int = Field(default=2600, ge=1, description="Size of one POST /inspections, in 10^6 bytes, at most.")
    max_request_mb: int = Field(default=16, ge=1, description="Size of any other request, in 10^6 bytes, at most.")
    inspection_wait_s: float = Field(
        default=300.0, gt=0, description="How long a repeated trigger waits for the first one's answer, in seconds."
    )
    take_over_s: float = Field(
        default=60.0,
        ge=0,
        description="With several servers on one PostgreSQL: when one is silent for so many seconds, another judges "
        "what it took in, where it can have the pictures. 0: never.",
    )
    forget_server_days: float = Field(
        default=30.0,
        ge=0,
        description="When one of them is silent for so many days, it is forgotten: parts that it alone could judge go "
        "to a person, jobs that it alone could do end. 0: never.",
    )
    decide_by_s: float = Field(
        default=0.0,
        ge=0,
        description="Verdict within so many seconds of a picture's last byte, or the part is late: an error, and ng. "
        "0: no limit.",
    )
    decide_by: dict[str, float] = Field(
        default={},
        description='Stations with a decide-by time of their own, in seconds: {"brush-1": 2.0}; 0: no limit.',
    )
    camera_checks: bool = Field(
        default=True,
        description="Send parts to a person whose pictures are black, white, frozen, blurred, mis-exposed, shifted or "
        "taken through a dirty lens.",
    )
    lines: dict[str, list[str]] = Field(
        default={},
        description="The plant's lines and their stations in order, as a wall screen shows them: "
        '{"line 1": ["brush-1", "end-of-line"]}; stations that are not named stand below.',
    )
    default_product: str = Field(default="default", description="Product whose policy holds where none is named.")

    features: bool = Field(
        default=True,
        description="Keep what the encoder sees of every part: for similar defects, what to label next, drift, and "
        "classes learnt from a few examples.",
    )

    open_inference: bool = Field(
        default=True, description="Answer other programs under /v2 (Open Inference Protocol), on spare capacity."
    )

    # another server as the engine
    engine_url: str = Field(
        default="",
        description="Address of another server (Triton, OpenVINO, KServe, or one of ours) that computes the champion "
        "while its answers are the champion's own: http://host:port; empty: this machine computes.",
    )
    engine_model: str = Field(default="champion-network", description="Name of the champion's network on that server.")
    engine_key: str = Field(default="", description="Key that is sent to that server.", repr=False)
    engine_patience_s: float = Field(
        default=5.0,
        gt=0,
        description="How long that server may take for one frame, in seconds; then this machine answers.",
    )

    mlflow: str = Field(
        default="",
        description="Address of an MLflow server to which the registry of models is mirrored: http://host:port; needs "
        "the extra qc-line[mlflow]. Empty: none.",
    )
    mlflow_name: str = Field(default="qc-line", description="Name of the experiment and registered model there.")

    # storage
    blobs: str = Field(
        default="",
        description="Where pictures and masks lie: empty, QC_HOME/blobs; a folder; or s3://bucket/prefix, az://, gs:// "
        "(needs the extra qc-line[stores]), to which they are taken as soon as they are stored on this computer. Of "
        "several, with blanks between, the first takes what is new; models/=az://… takes keys that begin so; in others "
        "earlier ones lie.",
    )
    blobs_near_hours: float = Field(
        default=24.0,
        ge=0,
        description="With an object store: pictures and masks stay on this computer, too, for so many hours.",
    )
    cache_gb: float = Field(
        default=4.0, ge=0, description="Zoom tiles and thumbnails kept under QC_HOME/cache, in 2^30 bytes, at most."
    )
    keep_ok_days: float = Field(
        default=0.0, ge=0, description="Pictures of ok parts are kept for so many days; 0: for ever."
    )
    keep_ng_days: float = Field(
        default=0.0, ge=0, description="Pictures of all other parts are kept for so many days; 0: for ever."
    )
    keep_features_days: float = Field(
        default=0.0, ge=0, description="What the encoder saw of a part is kept for so many days; 0: for ever."
    )
    keep_anonymous_features_days: float = Field(
        default=0.0,
        ge=0,
        description="After that, what the encoder saw is kept for so many days more without the part; 0: not at all. "
        "QC_KEEP_FEATURES_DAYS must be 31 or more then.",
    )
    checkpoints: Path | None = Field(
        default=None, description="File outside of QC_HOME to which signed checkpoints of the audit trail are added."
    )
    checkpoint_cron: str = Field(
        default="0 * * * *", description="When a checkpoint is signed (cron, local time); empty: never."
    )
    make_room_gb: float = Field(
        default=0.0,
        ge=0,
        description="When less disk than so many 2^30 bytes is free, the oldest pictures go before their time: of ok "
        "parts first, of ng parts last, labelled ones never; 0: none goes, and a full disk refuses parts.",
    )
    min_free_gb: float = Field(default=2.0, ge=0, description="Free disk, in 2^30 bytes, below which /health warns.")

    # people
    session_hours: float = Field(default=12.0, gt=0, description="How long a log-in lasts, in hours.")
    login_failures: int = Field(
        default=5, ge=1, description="Wrong passwords from one address for one name in five minutes, at most."
    )
    log_ins_at_once: int = Field(
        default=20,
        ge=0,
        description="Log-ins that one account may have at the same time; with one more the oldest ends. 0: any number.",
    )
    login_notice: str = Field(
        default="",
        max_length=2000,
        description="What everybody reads before they log in, such as who may use this system; empty: nothing.",
    )

    oidc_issuer: str = Field(
        default="",
        description="Address of an identity provider (OpenID Connect) by which people may log in, as it calls itself; "
        "register QC_PUBLIC_URL/api/v1/session/oidc/callback there. Empty: none.",
    )
    oidc_client_id: str = Field(default="", description="Name by which that provider knows this server.")
    oidc_client_secret: str = Field(default="", description="Its secret; empty: a public client.", repr=False)
    oidc_scopes: str = Field(default="openid profile email", description="What is asked of the provider.")
    oidc_name_claim: str = Field(
        default="preferred_username", description="Claim that gives a new account its name; where it is missing: sub."
    )
    oidc_role_claim: str = Field(
        default="roles", description="Claim that holds a person's roles or groups; `a.b` is `b` within `a`."
    )
    oidc_roles: dict[str, str] = Field(
        default={},
        description='The provider\'s roles and ours: {"plant-qa": "engineer"}; empty: they have our names. '
        "Any other gives none.",
    )

    # watched folder
    inbox_settle_s: float = Field(
        default=1.0, ge=0, description="A file is finished when it has not changed for so long, in seconds."
    )
    inbox_patience_s: float = Field(
        default=10.0, ge=0, description="A file that cannot be read is rejected after so many quiet seconds."
    )
    inbox_keep: bool = Field(
        default=False, description="Keep taken files under inbox/.done; otherwise they are deleted once stored."
    )

    # Label Studio
    label_studio: bool = Field(default=True, description="Run or use Label Studio.")
    label_studio_url: str = Field(default="", description="Address of an existing Label Studio; empty: run our own.")
    label_studio_token: str = Field(default="", description="Access token for an existing Label Studio.", repr=False)
    label_studio_env: Path = Field(
        default=ROOT / ".venv-label-studio",
        description="Virtual environment in which our own Label Studio is installed.",
    )
    label_studio_port: int = Field(
        default=0, ge=0, le=65535, description="Port of our own Label Studio; 0: the server's port + 1."
    )
    sweep_s: float = Field(
        default=60.0, gt=0, description="How often annotations are looked for that the webhook lost, in seconds."
    )

    label_twice: float = Field(
        default=0.1, ge=0, le=1, description="Share of the label tasks that two people label, to compare them."
    )
    label_at_random: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of the other parts that are labelled whatever the model says: only these tell without bias "
        "how often it is wrong.",
    )

    # learning
    retrain_after_labels: int = Field(
        default=20, ge=1, description="New finished labels after which a retraining is queued."
    )
    retrain_on_drift: bool = Field(
        default=True,
        description="A quarter of QC_RETRAIN_AFTER_LABELS is enough while an alarm says that parts or verdicts drift.",
    )
    retrain_cron: str = Field(
        default="0 2 * * *", description="When to retrain besides (cron, local time); empty: never."
    )
    retrain_minutes: float = Field(default=10.0, gt=0, description="Longest training of a challenger, in minutes.")
    gate: Literal["held-back", "production"] = Field(
        default="held-back",
        description="What a challenger must prove before it serves: held-back, better on labelled parts that neither "
        "was trained on; production, besides that better beside the champion on production parts that people decided.",
    )
    golden_cron: str = Field(
        default="5 6,14,22 * * *",
        description="When the champion looks at the golden parts (cron, local time), each shift; empty: never.",
    )
    shadow: bool = Field(default=True, description="A challenger looks at production parts too, on spare capacity.")
    auto_promote: bool = Field(
        default=True, description="A challenger that beats the champion serves without being asked."
    )

    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    traces_url: str = Field(
        default="",
        description="Collector of OpenTelemetry traces, such as http://collector:4318/v1/traces (OTLP over HTTP); "
        "empty: none.",
    )

    backups: Path | None = Field(
        default=None, description="Folder in which backups are made; default: QC_HOME/backups. Better on another disk."
    )
    backup_keys: Path | None = Field(
        default=None,
        description="Folder of keys, neither in QC_HOME nor on the backups' disk: with it a backup asked for on a page "
        "is encrypted with a key of its own, which goes when something is erased later. Empty: plain.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then what was set on the page."""
        return init_settings, env_settings, _Kept(settings_cls)

    @property
    def threads(self) -> int:
        """Processor threads of one inspection."""
        return self.torch_threads or max(1, (os.cpu_count() or 2) // 2)

    @property
    def windows_at_once(self) -> int:
        """Windows of one part that are looked at at the same time, each by `threads`: where only one part is under way
        no core is idle, and where several are they share them. Answers do not depend on it; each needs its memory."""
        return max(1, min(MOST_WINDOWS, (os.cpu_count() or 1) // (self.threads * max(1, self.model_workers))))

    @property
    def unpackers(self) -> int:
        """Processes that unpack pictures."""
        return self.decoders or min(os.cpu_count() or 2, 4)

    def decide_by_of(self, station: str) -> float | None:
        """Seconds within which a station must have its verdict; None: no limit."""
        return self.decide_by.get(station, self.decide_by_s) or None

    @property
    def url(self) -> str:
        """Address of this server, without a slash at the end."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        scheme = "https" if self.tls_certificate else "http"
        return (self.public_url or f"{scheme}://{host}:{self.port}").rstrip("/")

    @property
    def studio_url(self) -> str:
        """Where people reach Label Studio, without a slash at the end."""
        host = self.host if self.host not in ("0.0.0.0", "::", "") else "127.0.0.1"
        return (self.label_studio_url or f"http://{host}:{self.label_studio_port or self.port + 1}").rstrip("/")

    @property
    def db_url(self) -> str:
        """URL of the database."""
        return self.database_url or f"sqlite:///{self.home.resolve() / 'qc.sqlite3'}"

    def folder(self, name: str) -> Path:
        """A folder under QC_HOME, made when missing, absolute."""
        folder = self.home.resolve() / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def read_settings() -> Settings:
    """The settings of the environment; raises InvalidInput naming the variable that makes no sense."""
    try:
        return Settings()
    except ValidationError as error:
        mistake = error.errors()[0]
        raise InvalidInput(f"QC_{str(mistake['loc'][0]).upper().removeprefix('QC_')}: {mistake['msg']}") from error
