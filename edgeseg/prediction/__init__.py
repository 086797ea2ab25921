"""Class maps of images, folders and videos."""
