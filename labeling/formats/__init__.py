"""Data sets as other tools keep them. Each module has `write(dataset, out)` and `read(folder, out)`."""
