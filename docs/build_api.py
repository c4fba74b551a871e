"""Writes the API reference, a page for each module, from the docstrings; warnings are errors."""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pdoc
import pdoc.doc

from avmae_tf import console

ROOT = Path(__file__).parent.parent
OUT = ROOT / 'docs/api'
PACKAGES = ('avmae_tf', 'beam_jobs', 'components', 'pipeline')


def undocumented(module: pdoc.doc.Module) -> Iterator[str]:
    """Public functions and classes of a module that have no docstring and inherit none."""
    waiting = [module]
    while waiting:
        member = waiting.pop()
        is_ours = member.taken_from[0] == module.modulename
        if is_ours and member.kind in ('class', 'function') and not member.docstring:
            yield member.fullname
        if is_ours and isinstance(member, pdoc.doc.Namespace) and member.kind != 'variable':
            waiting += (m for m in member.members.values() if not m.name.startswith('_'))


def main() -> int:
    """Writes the pages to OUT; returns 1 if there is a warning, after all of them."""
    console.quiet()
    pdoc.render.configure(docformat='google', footer_text='avmae-tf', search=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        names = pdoc.extract.walk_specs(PACKAGES)
        loaded = {name: pdoc.extract.load_module(name) for name in names}
        for module in loaded.values():  # what is imported when it is asked for is there from now on
            vars(module).update({x: getattr(module, x) for x in getattr(module, '__all__', ())})
        modules = {name: pdoc.doc.Module(module) for name, module in loaded.items()}
        pdoc.pdoc(*PACKAGES, output_directory=OUT)
    ours = Path(pdoc.__file__).parent
    found = [str(w.message) for w in caught if ours in Path(w.filename).parents]
    for module in modules.values():
        found += (f'{name}: has no docstring' for name in undocumented(module))
    for warning in found:
        print(f'warning: {warning}', file=sys.stderr)
    print(f'{len(modules)} pages in {OUT.relative_to(ROOT)}')
    return int(bool(found))


if __name__ == '__main__':
    sys.exit(main())
