"""What users bring: images and labels as objects, as files and as datasets; models and their weights.

May import `errors` and `system`. `inputs` is the one place that tells kinds of images apart, and needs NumPy
alone.
"""
