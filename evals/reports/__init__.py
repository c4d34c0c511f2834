"""A run as a page, as JUnit XML, as Markdown."""
