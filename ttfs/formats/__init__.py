"""The two formats of a model file, read from bytes that nobody vouches for."""
