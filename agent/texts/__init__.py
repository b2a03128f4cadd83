"""Texts beside numbers: scoring documents by a lexicon or a language model."""
