"""A stream's network, driven by its spikes one by one: what is silent costs nothing.

May import what `backends` may. `kernels` is compiled, `tables` holds weights as events read them, `prepared`
makes both of a graph, `stream` goes from frame to frame.
"""

from __future__ import annotations

from dnisnm_lava.backends.events.stream import Stream, follow

__all__ = ["Stream", "follow"]
