"""The policy of each product: a file that a user edits, read again when it has changed.

`QC_HOME/products/<product>.yaml`; `default.yaml` holds where a product has no file of its own. A file that stops making
sense is shown in /health while its last good content stays in force.
"""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import yaml

from qc.durable import write_whole
from qc.errors import InvalidInput
from qc.plain_yaml import parsed
from qc.verdict import Policy, parse_policy
from server.call_rules import CallRules, parse_calls
from server.gate_rules import Costs, GateRules, parse_costs, parse_gate

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")

DEFAULT_FILE = """\
# What makes a part ok, doubtful (review) or not good (ng). Edit and save: the next part is judged by it.
# For another product, copy this file to <product>.yaml beside it and send `product` with its pictures.
product: default

# Whose parts these are; all of a customer's parts can be erased at once.
# customer: Smith & Sons

# Millimetres per pixel, for sizes in mm; one number, or by station and view: {station-1: {top: 0.05}}
# mm_per_px: 0.05

# How many bits a camera puts at the low end of its 16-bit pictures: 10, 12 or 14; 16 where they stand at the high end.
# One number, or by station and view. Where it is not told: as in the pictures the model learnt from, else a guess.
# camera_bits: 12

# A class that is not named under `classes`. `{}` asks for no size, `never` never holds; sizes are at-least limits:
# score, area_px, length_px, width_px, and with mm_per_px also area_mm2, length_mm, width_mm.
default:
  ng: {}                    # any defect that counts (at or above the model's threshold) makes the part not good
  review: {}                # one that comes close to counting, or {score: 0.2}: a person should look

# classes:
#   scratch: {ng: {length_px: 30}, review: {}}
#   stain: {ng: never, review: never}                     # harmless

# Regions with rules of their own, in pixels [x, y, width, height]; the first that a defect touches decides.
# zones:
#   - {name: clamp, view: top, box: [0, 0, 400, 120], classes: {scratch: {ng: never, review: {}}}}

# Somebody is unsure and calls the team leader (server/call_rules.py): so many seconds there are, and then?
# doubt: {seconds: 300, stations: {brush-1: 60}, then: ng}     # or review: it stays set aside; never ok

# What a new model must keep to before it serves this product (server/gate_rules.py says what each means):
# gate:
#   approval: required        # a named person lets the proved model serve; or automatic
#   golden: {escapes: 0, false_rejects: 0}                  # golden parts that it may get wrong
#   escapes: 0.05
#   latency: 1.25
#   memory: 1.25
#   calibration: 0.05

# What a wrong verdict costs, for each part, and how it was before:
# money:
#   currency: EUR
#   escape: 120.0
#   false_reject: 4.0
#   review: 0.5
#   before: {escapes: 0.004, false_rejects: 0.02, reviews: 1.0}    # shares of all parts
"""


def check_product(name: str) -> str:
    """The name, if it can be a product's; raises InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} cannot be a product's name: 1 to 64 letters, digits, '.', '_' or '-'")
    return name


@dataclass(frozen=True, slots=True)
class Rules:
    """All that a product's file says."""

    policy: Policy
    gate: GateRules
    costs: Costs | None
    """None: nobody has said what a wrong verdict costs."""
    customer: str
    """Whose parts these are; empty where nobody said."""
    calls: CallRules
    """How long a team leader has who is called, and how the part stands when nobody comes."""
    text: str
    """The file itself: what a verdict was judged by can be shown later."""

    @property
    def sha256(self) -> str:
        """Of the file, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_rules(file: Path) -> Rules:
    """What a product's file says; raises InvalidInput with the place of the mistake."""
    try:
        text = file.read_text(encoding="utf-8")
        content = parsed(text)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file.name} cannot be read: {error}") from error
    return parse_rules(content, text, where=file.name)


def parse_rules(content: object, text: str, *, where: str) -> Rules:
    """A product's rules from what YAML gave; raises InvalidInput with the place of the mistake."""
    policy = parse_policy(content, where=where)
    told = content if isinstance(content, dict) else {}
    gate = parse_gate(told["gate"], where=f"{where}: gate") if told.get("gate") is not None else GateRules()
    costs = parse_costs(told["money"], where=f"{where}: money") if told.get("money") is not None else None
    doubt = told.get("doubt")
    calls = parse_calls(doubt, where=f"{where}: doubt") if doubt is not None else CallRules()
    return Rules(policy, gate, costs, parse_customer(told.get("customer"), where=where), calls, text)


def parse_customer(name: object, *, where: str) -> str:
    """Whose parts a product's are; raises InvalidInput for anything but a name of up to 128 letters."""
    if name is None:
        return ""
    if not isinstance(name, str) or not 0 < len(name.strip()) <= 128:
        raise InvalidInput(f"{where}: customer must be a name of 1 to 128 letters")
    return name.strip()


@dataclass(frozen=True, slots=True)
class _Read:
    """A file as it was read last."""

    stamp: tuple[int, int]
    """Modification time in nanoseconds, and size in bytes."""
    rules: Rules | None
    """The last good content; None when it never made sense."""
    problem: str | None


class Policies:
    """The policies of an installation; safe to use from several threads."""

    def __init__(self, folder: Path, *, default: str) -> None:
        self.folder = folder
        self.default = default
        self._read: dict[str, _Read] = {}
        self._lock = threading.Lock()
        file = folder / f"{default}.yaml"
        if not any(folder.glob("*.yaml")):
            write_whole(file, DEFAULT_FILE.replace("product: default", f"product: {default}"))

    def get(self, product: str) -> Policy:
        """The policy in force for a product; raises as `rules`."""
        return self.rules(product).policy

    def rules(self, product: str) -> Rules:
        """All that is in force for a product.

        Raises:
            InvalidInput: its file makes no sense and never did since the server started.
        """
        for name in (check_product(product), self.default):
            read = self._look(name)
            if read is None:
                continue
            if read.rules is None:
                raise InvalidInput(f"the policy of product {name} makes no sense: {read.problem}; correct {name}.yaml")
            return read.rules
        return Rules(Policy(product), GateRules(), None, "", CallRules(), "")

    def products(self) -> list[str]:
        """Products that have a file of their own, and the default."""
        names = {file.stem for file in self.folder.glob("*.yaml")} | {self.default}
        return sorted(name for name in names if _NAME.fullmatch(name))

    def problems(self) -> dict[str, str]:
        """File name -> what is wrong with it now."""
        with self._lock:
            known = set(self._read)
        names = known | {file.stem for file in self.folder.glob("*.yaml")}
        reads = {name: self._look(name) for name in sorted(names) if _NAME.fullmatch(name)}
        return {f"{name}.yaml": read.problem for name, read in reads.items() if read is not None and read.problem}

    def _look(self, name: str) -> _Read | None:
        file = self.folder / f"{name}.yaml"
        with self._lock:
            last = self._read.get(name)
            try:
                status = file.stat()
            except FileNotFoundError:
                self._read.pop(name, None)
                return None
            stamp = (status.st_mtime_ns, status.st_size)
            if last is not None and last.stamp == stamp:
                return last
            try:
                read = _Read(stamp, read_rules(file), None)
            except InvalidInput as error:
                read = _Read(stamp, last.rules if last else None, error.message)
            self._read[name] = read
            return read
