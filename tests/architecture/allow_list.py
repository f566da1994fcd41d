"""import-linter's contract type `allowed`: which of our packages a package may import.

import-linter 2.16 knows what is forbidden, who may import (`protected`) and which layer lies above which, but no list
of what a package may import.
"""

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowedImports(Contract):
    """Every direct import from `source`, or from below it, leads to `source` itself or to one of `allowed`.

    Packages include their submodules. Only root packages are checked, not libraries.
    """

    type_name = "allowed"

    source = fields.StringField()
    allowed = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        source, allowed = str(self.source), [*map(str, self.allowed), str(self.source)]  # type: ignore[call-overload]
        roots = self.session_options["root_packages"]
        wrong = sorted(
            (importer, imported)
            for importer in {source} | graph.find_descendants(source)
            for imported in graph.find_modules_directly_imported_by(importer)
            if within(imported, roots) and not within(imported, allowed)
        )
        places = [
            f"{importer}:{detail['line_number']} imports {imported}"
            for importer, imported in wrong
            for detail in graph.get_import_details(importer=importer, imported=imported)
        ]
        return ContractCheck(kept=not places, metadata={"places": places})

    def render_broken_contract(self, check: ContractCheck) -> None:
        allowed = ", ".join(map(str, self.allowed)) or "nothing"  # type: ignore[call-overload]
        output.print_error(f"{self.source} may import of ours: {allowed}")
        for place in check.metadata["places"]:
            output.print_error(f"  {place}", bold=False)


def within(module: str, packages: list[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
