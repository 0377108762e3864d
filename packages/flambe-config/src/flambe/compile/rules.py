"""The rules that a config can break: the id of every fault and warning of the compiler, for programs and for the docs.

An id stays for ever. What people read is the message; a program filters, counts and links by the id. ``docs/language.md``
has a heading for each.
"""

from __future__ import annotations

PAGE = "docs/language.md"

RULES = {
    # The file
    "unreadable-file": "A file that is named is not there, or is no text.",
    "yaml-syntax": "The text is no YAML.",
    "empty-file": "There is nothing in the file to run.",
    "too-many-documents": "A file holds one document, or a header and one, separated by '---'.",
    "too-large": "The file, a number or what its aliases make is too large, or nests too deep.",
    "unknown-anchor": "An alias *name needs an anchor &name above it.",
    "duplicate-key": "A key is written twice.",
    "invalid-key": "A key is a single value.",
    "invalid-scalar": "The text after a standard tag such as !!int is no such value.",
    # Tags
    "unknown-tag": "The tag names nothing that is installed.",
    "undeclared-module": "The tag names a module that the header does not declare.",
    "unreachable-tag": "The tag names something that a config may not build.",
    "unknown-factory": "The class has no class method of this name.",
    "own-yaml": "What stands below this tag has to be plain data.",
    # Arguments
    "unknown-argument": "The class takes no such argument.",
    "missing-argument": "The class cannot be built without this argument.",
    "too-many-arguments": "The class takes fewer arguments by position.",
    "duplicate-argument": "The argument is given by position and by name.",
    "type-mismatch": "The value is not of the type that the signature asks for.",
    # Links
    "malformed-link": "The text of the link is not of the form stage[key].attribute.",
    "link-without-space": "A link has a space after its tag.",
    "link-unknown": "The link begins with a name that no stage and no resource has.",
    "link-later": "The link points to what is built after it.",
    "link-to-itself": "The link points to an object that it is a part of.",
    "link-missing": "The link names a key or an attribute that is not there.",
    "link-forbidden": "The link goes where no link may go.",
    "link-misplaced": "Links stand in the stages of the pipeline only.",
    # Search
    "malformed-search": "What stands after the search tag is not what it takes.",
    "endless-search": "The search has no list of values, and what would draw from it cannot do so here.",
    "search-misplaced": "Searches stand in the stages of the pipeline only.",
    "duplicate-option": "A value of a search is there twice, or there are fewer values than asked for.",
    # The experiment
    "no-tag": "The document does not say what it is.",
    "not-runnable": "What the document describes cannot be run.",
    "unknown-parameter": "The experiment, or its header, has no such parameter.",
    "missing-parameter": "The experiment needs this parameter.",
    "invalid-parameter": "The parameter cannot have this value.",
    "unknown-stage": "The parameter names a stage that is not in the pipeline.",
    "no-metric": "The stage is reduced, and nothing measures its variants.",
    "invalid-name": "The name has characters that the names of files and links cannot have.",
    "duplicate-name": "Two things that links can name have the same name.",
    "not-a-component": "A stage is a tag with its arguments.",
    "invalid-value": "The value cannot be used where it stands.",
    "required-value": "!required stands for a value that is given each time.",
    # The header
    "invalid-header": "The first of two documents is no header.",
    "invalid-extension": "The line of the header is not module: source.",
    "missing-extension": "The extension is not where the header says, or not installed.",
    "extension-version": "The installed extension is another version than the header asks for.",
    "extension-source": "The repository of an extension cannot be fetched, or has not what is asked of it.",
    "extension-install": "pip cannot install the extensions.",
    # Parents
    "invalid-parent": "What __default__ names is no mapping, leads back to itself, or is no path.",
    "new-key": "A config has a key that none of its parents has.",
    "changed-type": "A value is of another type than that of the parent which it replaces.",
    # References and environment
    "unknown-reference": "The reference names a key that is not in the config.",
    "reference-cycle": "A reference leads back to itself.",
    "reference-to-object": "The reference names an object or a search, which is no data.",
    "malformed-reference": "The reference or variable is not written so, or cannot stand here.",
    "unset-variable": "The environment has no such variable.",
    "secret-in-text": "A variable whose name says that it is a secret stands inside of longer text.",
    # Functions
    "missing-function": "The function that __main__ or metric_fn names is not there, or takes other arguments.",
    # Files
    "missing-file": "The file is not there.",
    "unknown-file": "No file is declared by this name.",
    "invalid-address": "The path or URL cannot be used.",
    # Overrides
    "malformed-override": "The word after the file is no override.",
    "override-key": "The override names a key that is not in the file.",
    "override-type": "The value of the override does not fit what it replaces.",
    "duplicate-override": "Two overrides set the same key.",
    # Warnings only
    "old-spelling": "An older version wrote this so; it is understood.",
    "unused-value": "What stands here has no effect.",
}
