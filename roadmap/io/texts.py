"""Bytes of a caller's file as text."""

from roadmap.io.errors import UsageError

# What files that are no text begin with.
BEGINNINGS = {
    b"\x1f\x8b": ("gzip", "unpack it"),
    b"PK\x03\x04": ("a ZIP archive or a workbook", "unpack it, or export it"),
    b"\xff\xfe": ("UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16", "save it as UTF-8"),
    b"PAR1": ("Parquet", "export it"),
}


def decoded(content: bytes, where: str) -> str:
    """The text of UTF-8, with or without a byte order mark.

    Raises:
        UsageError: it is something else.
    """
    for begin, (kind, remedy) in BEGINNINGS.items():
        if content.startswith(begin):
            raise UsageError(f"{where}: not UTF-8 text: found {kind}; expected UTF-8; {remedy}")
    if b"\0" in content.partition(b"\n")[0]:
        raise UsageError(f"{where}: not UTF-8 text: found bytes 0 in the first line, as UTF-16 has; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"found byte 0x{content[error.start]:02x} at {error.start:,}"
        raise UsageError(f"{where}: not UTF-8 text: {found}; expected UTF-8; save it as UTF-8") from None
