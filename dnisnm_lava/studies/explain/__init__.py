"""Why the accuracy is what it is: `dnisnm explain` runs `explain.explain`, whose result is
`values.Explanation`.

May import what `studies` may.
"""
