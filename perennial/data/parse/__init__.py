"""Reads answers: HTML pages, JSON documents and text files become rows of checked values."""

from perennial.data.parse.parser import Parser, check, parser

__all__ = ["Parser", "check", "parser"]
