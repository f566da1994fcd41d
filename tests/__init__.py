"""Tests of each room in a folder of its name; what starts servers or runs stages is in system/."""
