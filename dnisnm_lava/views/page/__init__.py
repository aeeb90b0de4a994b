"""One HTML page that tells all of a network: `page` renders what `studies.overview` gathers.

May import what `views` may.
"""
