"""Tests of `bertcli.index`."""
