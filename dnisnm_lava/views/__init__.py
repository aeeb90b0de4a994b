"""What people read: tables on a terminal, pictures, the report's page. Values come in, text goes out.

May import `studies` and what stands above it; rich, matplotlib, jinja2.
"""
