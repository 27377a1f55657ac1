"""Images, their geometry and their files, without torch."""
