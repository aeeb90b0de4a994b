"""What Loihi 2 holds: published limits, layers on cores, the design rules. `dnisnm check` runs
`rules.check`."""
