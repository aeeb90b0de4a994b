"""What Loihi 2 holds: a rule of it stands in `rules`, a limit in `loihi2.toml`, layers on cores in `cores`.
`dnisnm check` runs `rules.check`.

May import what `studies` may, and `studies.streams.dials`.
"""
