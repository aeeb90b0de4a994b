"""What brings a package that is not installed. No index has this project, so pip takes it from a clone."""

from __future__ import annotations

import sys

NEWEST_OF_LAVA = (3, 10)  # the last Python that lava-nc and lava-dl take
EXTRAS = {  # of pyproject.toml, by the name that is imported; "" is what is always needed
    "h5py": "",
    "matplotlib": "",
    "numpy": "",
    "rich": "",
    "shtab": "",
    "threadpoolctl": "",
    "tomli": "",
    "numba": "torch",
    "torch": "torch",
    "torchvision": "torch",
    "lava": "lava",
    "sklearn": "demo",
    "onnx": "onnx",
    "nir": "nir",
    "sanafe": "sanafe",
    "jinja2": "report",
    "av": "video",
    "aedat": "events",
}


def missing(package: str, extra: str) -> str:
    """`package` is not installed, and what brings it: one sentence."""
    return f"{package} is not installed in this Python; {brings(extra)}"


def missing_alone(package: str) -> str:
    """The same of a package that no extra brings, since only some files need it."""
    return f"{package} is not installed in this Python; `pip install {package}` brings it"


def brings(extra: str) -> str:
    """What installs `extra`, as a part of a sentence."""
    this = sys.version_info[:2]
    if extra == "lava" and this > NEWEST_OF_LAVA:
        newest, here = (".".join(map(str, version)) for version in (NEWEST_OF_LAVA, this))
        return (
            f"it takes no Python newer than {newest}, and this is {here}; `dnisnm lava-env` makes "
            f"one, which --lava-python auto uses"
        )
    return f"`pip install '.{f'[{extra}]' if extra else ''}'` in a clone of the project brings it"
