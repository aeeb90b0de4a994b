"""A network on a stream of frames: what it says of each, and what that costs beside each frame alone.

May import what `studies` may, and `studies.costs`. `following` goes from frame to frame, `watching` has the
references beside it, and `work` and `bills` count and price both; `rows` keep a few numbers of a frame, which
`summary` sums up. Nothing here keeps frames.
"""
