"""One HTML page that tells all of a network: `gathering` gathers, `page` renders."""
