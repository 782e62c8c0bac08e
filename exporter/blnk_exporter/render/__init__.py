"""Texts that are rendered from declarations and committed; tests hold that they agree."""
