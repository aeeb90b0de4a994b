"""The folder that `stream` writes with --out."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dnisnm_lava.cli import stream_sources
from dnisnm_lava.cli.names import (
    STREAM_FILES,
    STREAM_NET,
    STREAM_PAGE,
    STREAM_PICTURE,
    STREAM_ROWS,
    STREAM_STATE,
    STREAM_SUMMARY,
)
from dnisnm_lava.errors import DnisnmError
from dnisnm_lava.system.extras import missing

if TYPE_CHECKING:
    from dnisnm_lava.cli.output import Result
    from dnisnm_lava.cli.stream_options import Stream
    from dnisnm_lava.cli.stream_parts import Parts
    from dnisnm_lava.data.streams.stream import Frames
    from dnisnm_lava.studies.streams.summary import Summary
    from dnisnm_lava.studies.streams.watching import Watching


@dataclass(frozen=True)
class Done:
    """A stream that has ended. source: its frames, to be read once more for a few pictures. made_of: what
    the file of its network remembers."""

    watching: Watching
    parts: Parts
    source: Frames
    made_of: Mapping[str, Any]

    def summary(self, args: Stream) -> Summary:
        from dnisnm_lava.studies.streams.dials import dials
        from dnisnm_lava.studies.streams.summary import summary

        told = dials(self.watching.graph, args.refresh)
        multiplications = self.watching.bill.multiplications
        return summary(self.parts.rows, told, self.watching.measure, multiplications)


def written(args: Stream) -> tuple[str, ...]:
    """The files of --out: the page only where its package is installed, which a notice tells."""
    if args.out is None or importlib.util.find_spec("jinja2") is not None:
        return STREAM_FILES
    warnings.warn(f"the stream goes without its page: {missing('jinja2', 'report')}", stacklevel=1)
    return tuple(name for name in STREAM_FILES if name != STREAM_PAGE)


def write(args: Stream, result: Result, done: Done, files: tuple[str, ...]) -> None:
    """The folder, whole or not at all."""
    from dnisnm_lava.system.files import whole_folder, write_whole
    from dnisnm_lava.views import streams as view
    from exporters import netx

    found, title = done.summary(args), stream_sources.title(args)
    page = _page(args, result, done) if STREAM_PAGE in files else b""
    assert args.out is not None
    with whole_folder(args.out, overwrite=args.overwrite) as folder:
        write_whole(folder / STREAM_ROWS, view.frames_csv(done.parts.rows))
        write_whole(folder / STREAM_SUMMARY, (json.dumps(result.data, indent=1) + "\n").encode())
        netx.write(folder / STREAM_NET, done.watching.graph, provenance=dict(done.made_of))
        done.watching.save(folder / STREAM_STATE)
        write_whole(folder / STREAM_PICTURE, view.stream_picture(done.parts.rows, found, title))
        if page:
            write_whole(folder / STREAM_PAGE, page)


def _page(args: Stream, result: Result, done: Done) -> bytes:
    from dnisnm_lava.views.page import stream_page
    from dnisnm_lava.views.page.stream_points import Follow

    found = Follow(
        stream_sources.title(args),
        done.parts.rows,
        done.summary(args),
        result.data,
        done.made_of.get("classes") or (),
    )
    try:
        return stream_page.render(found, done.parts.activity, done.source)
    except DnisnmError as error:
        warnings.warn(f"the page goes without pictures of frames: {error}", stacklevel=1)
        return stream_page.render(found, done.parts.activity, ())
