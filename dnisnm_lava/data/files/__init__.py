"""Images and labels out of files and folders, as they lie there; the order of their axes; how they are
prepared."""
