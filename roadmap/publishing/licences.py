"""Which licences permit publishing what was trained, and under which one."""

from roadmap.io.errors import UsageError

# A licence as data and weights state it -> the hub's name of the licence for what was made of them.
PERMITTING = {
    "ours": "apache-2.0",
    "apache-2.0": "apache-2.0",
    "mit": "mit",
    "public domain": "cc0-1.0",
    "published figures": "cc0-1.0",
    "cc0-1.0": "cc0-1.0",
    "cc by 2.0": "cc-by-2.0",
    "cc by 4.0": "cc-by-4.0",
    "cc by-sa 3.0": "cc-by-sa-3.0",
    "cc by-sa 4.0": "cc-by-sa-4.0",
}
# The later one asks for more: what was made of several takes the last of theirs.
ORDER = ("cc0-1.0", "mit", "apache-2.0", "cc-by-2.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0")
YOURS = "yours"


def licence_of(stated: dict[str, str], own: str = "") -> str:
    """The licence of a model.

    Args:
        stated: licences of what it was made of, by name.
        own: the licence that the user gives to what is theirs.

    Raises:
        UsageError: one of them permits no publishing, or is the user's and they gave none.
    """
    found = []
    for name, licence in stated.items():
        if licence == YOURS:
            if not own:
                raise UsageError(f"licence: {name} is yours; expected licence=..., the one that you publish under")
            found.append(own)
        elif permitted := _permitted(licence):
            found.append(permitted)
        else:
            raise UsageError(
                f"licence: {name}: found {licence!r}; expected one that permits publishing ({', '.join(PERMITTING)}); "
                "train on other data"
            )
    return max(found, key=lambda each: ORDER.index(each) if each in ORDER else len(ORDER))


def _permitted(licence: str) -> str | None:
    """Words behind the name of a licence, as in "CC BY 4.0 (UCI)", are its origin."""
    plain = licence.lower().partition("(")[0].partition(";")[0].strip()
    return PERMITTING.get(plain)
