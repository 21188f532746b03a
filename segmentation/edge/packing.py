"""What an edge folder needs of the installed packages, copied from where they are: the same versions, no network.

Whole packages would be 620 MB. Left out is what no inspection calls: tests, headers, accelerators that are not in an
IPC, readers of other model formats, fonts, and all of scikit-image but its compiled thinning. Whether too much was
left out is not believed but tried: the folder must give the model's verdicts before it gets its name.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from shutil import copyfile

from qc.errors import InvalidInput

UNUSED = ("*/tests/*", "*.pyi", "*.pyx", "*.pxd", "*.h", "*.hpp", "*.a", "*.lib", "*/__pycache__/*", "*.cmake", "*.pc")
"""Of every package: what only its developers, or compilers, read."""


@dataclass(frozen=True, slots=True)
class Package:
    """What is taken of an installed package."""

    name: str
    only: tuple[str, ...] = ("*",)
    """Patterns of paths; one must fit. `*` also fits `/`."""
    without: tuple[str, ...] = ()
    """Patterns of paths that are left out all the same."""


ALWAYS = (
    Package(
        "numpy",
        without=(
            *(f"numpy/{name}/*" for name in ("f2py", "distutils", "_pyinstaller", "random/_examples")),
            *(f"numpy/_core/{name}.*" for name in ("*_tests", "_simd")),
        ),
    ),
    Package("opencv-python-headless", without=("cv2/data/*", "cv2/typing/*", "cv2/LICENSE-3RD-PARTY.txt")),
    Package(
        "pillow",
        # Pictures are JPEG, PNG, BMP and TIFF; fonts, colour profiles and other formats are not opened.
        without=(
            *(f"PIL/_{name}.*" for name in ("avif", "webp", "imagingft", "imagingcms", "imagingtk", "imagingmath")),
            *(
                f"pillow.libs/lib{name}*"
                for name in ("avif", "webp", "sharpyuv", "freetype", "harfbuzz", "lcms2", "brotli", "png16")
            ),
        ),
    ),
    Package("pyyaml", without=("yaml/_yaml.*",)),  # the compiled reader is for long files
    Package("tifffile"),
    Package("scikit-image", only=("skimage/morphology/_skeletonize_lee_cy.*", "*/METADATA", "*/LICENSE*")),
)

RUNTIMES = {
    "openvino": (
        Package(
            "openvino",
            without=(
                *(f"openvino/libs/*{name}*" for name in ("intel_gpu", "intel_npu", "auto", "hetero", "openvino_c.")),
                *(
                    f"openvino/libs/*{name}_frontend*"
                    for name in ("onnx", "tensorflow", "tensorflow_lite", "pytorch", "paddle", "jax", "gguf")
                ),
                *(f"openvino/frontend/{name}/*" for name in ("onnx", "tensorflow", "pytorch", "paddle", "jax")),
                *(f"openvino/{name}/*" for name in ("include", "cmake", "tools", "torch", "_offline_transformations")),
                "openvino/libs/cache.json",
                "openvino/libs/libtbbmalloc*",
                "openvino/libs/pkgconfig/*",
            ),
        ),
    ),
    "onnx": (
        Package(
            "onnxruntime",
            without=(
                *(f"onnxruntime/{name}/*" for name in ("tools", "transformers", "quantization", "datasets", "backend")),
                "onnxruntime/capi/libonnxruntime.so*",  # for programs in C; Python's module holds it all
            ),
        ),
    ),
}

PROGRAM = "segmentation.edge.program"


def pack(runtime: str, site: Path) -> dict[str, str]:
    """Copy everything that inspects into `site`; the versions of what was copied.

    Raises:
        InvalidInput: no such runtime, or a package of it is not installed here.
    """
    if runtime not in RUNTIMES:
        raise InvalidInput(f"the runtime of an edge must be one of {sorted(RUNTIMES)}, not {runtime!r}")
    site.mkdir(parents=True)
    versions = {package.name: _copy(package, site) for package in (*ALWAYS, *RUNTIMES[runtime])}
    for module, path in own_modules().items():
        place = site.joinpath(*module.split("."))
        place = place / "__init__.py" if path.name == "__init__.py" else place.with_suffix(".py")
        place.parent.mkdir(parents=True, exist_ok=True)
        copyfile(path, place)
    return versions


def _copy(package: Package, site: Path) -> str:
    """Copy the files of an installed package; its version."""
    try:
        found = distribution(package.name)
    except PackageNotFoundError as error:
        raise InvalidInput(f"{package.name} is not installed here; install the product completely") from error
    for file in found.files or ():
        path = PurePosixPath(file)
        if ".." in path.parts or not _fits(path, package.only) or _fits(path, (*UNUSED, *package.without)):
            continue
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        copyfile(file.locate(), target)
    return found.version


def _fits(path: PurePosixPath, patterns: Sequence[str]) -> bool:
    return any(fnmatch(str(path), pattern) for pattern in patterns)


def own_modules() -> dict[str, Path]:
    """The modules of ours that the program needs, by asking Python: with all that trains out of reach.

    Raises:
        InvalidInput: the program cannot be imported without what trains; that is a mistake of ours.
    """
    asked = (
        "import sys\n"
        "for name in ('torch', 'scipy', 'timm', 'albumentations', 'fastapi', 'sqlmodel', 'pandas'):\n"
        "    sys.modules[name] = None\n"
        f"import {PROGRAM}\n"
        "for name, module in sorted(sys.modules.items()):\n"
        "    if name.split('.')[0] in ('qc', 'segmentation'):\n"
        "        print(name, module.__file__, sep='\\t')\n"
    )
    done = subprocess.run([sys.executable, "-B", "-c", asked], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InvalidInput(f"the program cannot do without what trains: {done.stderr.strip().splitlines()[-1]}")
    return {name: Path(path) for name, path in (line.split("\t") for line in done.stdout.splitlines())}


def folder_bytes(folder: Path) -> int:
    """What a folder's files take on a disk, in bytes, as `du` counts it."""
    return sum(path.lstat().st_blocks * 512 for path in (folder, *folder.rglob("*")))


def pinned(versions: dict[str, str]) -> str:
    """`name==version` a line, for whoever must know what runs on the IPC."""
    return "".join(f"{re.sub('[-_.]+', '-', name).lower()}=={version}\n" for name, version in sorted(versions.items()))
