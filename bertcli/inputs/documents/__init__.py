"""Files of many formats as text with headings and pages. Start at `read.py`."""
