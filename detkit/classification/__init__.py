"""Networks that tell the class of a whole picture, or the class and the place of its one object."""
