"""Images and labels as files and folders hold them: what lies there, the order of its axes, its preparation.

May import `data.inputs` and what `data` may; which file a spec means is decided in `data.datasets`.
"""
