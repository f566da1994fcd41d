"""The report of a table: columns, associations with the target, comparison of train and test.

Counts are of all rows. Whatever involves the target is of the training rows alone, so that the test rows influence no
choice of a model.
"""

from pathlib import Path

from roadmap.io.json import JsonObject
from roadmap.reporting import html
from roadmap.reporting.bars import bars
from roadmap.reporting.formatting import count, join_with_and, percent
from roadmap.reporting.page import Section, provenance
from roadmap.reporting.tasks import associations, dataset, distributions, drift, target
from roadmap.reporting.tasks.dataset import TableDataset
from roadmap.reporting.tasks.levels import by_frequency

MAX_GAPS = 20  # columns with missing values shown


def sections(folder: Path, card: JsonObject) -> list[Section]:
    """folder: of the prepared splits; card: its card.json"""
    table = dataset.read(folder, card["schema"])
    strength = associations.with_target(table)
    return [
        _overview(table, card),
        _columns(table, card["schema"]["ignored"]),
        *_leaks(card.get("leaks", {}), table.target),
        *_missing(table),
        target.section(table),
        distributions.section(table, list(strength)),
        associations.section(table, strength),
        drift.section(table.named(table.train), table.named(table.parts["test"]), table.all_kinds),
    ]


def _overview(table: TableDataset, card: JsonObject) -> Section:
    rows, columns = len(table.everything), len(table.kinds)
    missing = int(table.everything.isna().sum().sum())
    duplicates = int(table.everything.duplicated().sum())
    kinds = list(table.kinds.values())
    features = [
        count(kinds.count(kind), name)
        for kind, name in (("number", "numeric column"), ("category", "text column"))
        if kind in kinds
    ]
    lead = (
        f"{rows:,} rows with {join_with_and(features)} to predict {table.target}"
        f"{'' if table.classes is None else f' ({table.classes[0]} or {table.classes[1]})'}. "
        f"{percent(missing / (rows * (columns + 1))) if missing else 'None'} of the cells are missing, and "
        f"{percent(duplicates / rows) if duplicates else 'none'} of the rows repeat an earlier one."
    )
    facts = [
        *((f"Rows, {name}", f"{len(part):,}") for name, part in table.parts.items()),
        ("Columns", f"{columns} + target"),
        ("Missing cells", f"{missing:,}"),
        ("Duplicate rows", f"{duplicates:,}"),
        *provenance(card),
    ]
    return Section("Overview", lead, [html.facts(facts)])


def _columns(table: TableDataset, ignored: dict[str, str]) -> Section:
    numbers, categories = [], []
    everything = table.named(table.everything)
    for name, kind in table.all_kinds.items():
        values = everything[name]
        known = values.dropna()
        label = f"{name} (target)" if name == table.target else name
        row = {"Column": label, "Missing": int(values.isna().sum()), "Distinct": int(known.nunique())}
        if kind == "number":
            middle = {"Min": known.min(), "Median": known.median(), "Mean": known.mean(), "Max": known.max()}
            numbers.append({**row, **{title: float(value) for title, value in middle.items()}})
        else:
            shares = by_frequency(known.value_counts(normalize=True))
            common = ", ".join(f"{level} {percent(share)}" for level, share in shares[:5].items())
            more = len(shares) - 5
            categories.append({**row, "Most frequent": common + (f", {more} more" if more > 0 else "")})
    tables: dict[str, list[JsonObject]] = {
        "Numbers, all splits": numbers,
        "Text and classes, all splits": categories,
        "Left out": [{"Column": name, "Why": why} for name, why in ignored.items()],
    }
    lead = f"{count(len(table.all_kinds), 'column')} in use, {len(ignored) or 'none'} left out."
    return Section("Columns", lead, [html.table(rows, caption) for caption, rows in tables.items() if rows])


def _leaks(leaks: dict[str, str], target: str) -> list[Section]:
    """A section, where a column gives the target away."""
    if not leaks:
        return []
    lead = (
        f"{join_with_and(list(leaks))} {'is' if len(leaks) == 1 else 'are'} {target}, or nearly. A column that is "
        "known only once the target is makes the model accurate here and useless in production: remove it."
    )
    rows = [{"Column": name, "How nearly": strength} for name, strength in leaks.items()]
    return [Section("Leakage", lead, [html.table(rows, "Columns that give the target away, training rows")])]


def _missing(table: TableDataset) -> list[Section]:
    """A section, if anything is missing."""
    missing = table.everything.isna().sum()
    missing = missing[missing > 0].sort_values(ascending=False, kind="stable")
    if missing.empty:
        return []
    shares = {str(name): amount / len(table.everything) for name, amount in missing.items()}
    rows = []
    for name, share in shares.items():
        gone = table.train[name].isna()
        rows.append(
            {
                "Column": name,
                "Missing": int(missing[name]),
                "Share": percent(share),
                f"{table.outcome}, missing": table.value(table.y[gone].mean()),
                f"{table.outcome}, known": table.value(table.y[~gone].mean()),
            }
        )
    first, most = next(iter(shares.items()))
    lead = (
        f"{count(len(shares), 'column')} of {len(table.kinds)} {'has' if len(shares) == 1 else 'have'} gaps; "
        f"{first} has the most, {percent(most)} of its values."
    )
    drawn = dict(list(shares.items())[:MAX_GAPS])
    alt = "Bars of the share of missing values"
    drawing = bars(drawn, "Missing values", "Share of all rows, by column.", alt)
    return [Section("Missing values", lead, [html.grid([drawing]), html.table(rows, "Gaps and the target")])]
