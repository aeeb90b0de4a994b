"""A network on a stream of frames: what it says of each, and what that costs beside each frame alone.

May import what `studies` may. `following` goes from frame to frame; nothing here keeps frames.
"""
