"""Prints the variables that a PowerShell script holds in a table of its own, as JSON.

Ends with what PowerShell's grammar cannot read, if there is anything.
"""
import json
import sys

import tree_sitter_powershell
from tree_sitter import Language, Parser


def nodes(node):
    yield node
    for child in node.children:
        yield from nodes(child)


def word(node):
    return node.text.decode().strip("'")


with open(sys.argv[1], "rb") as file:
    script = file.read()
root = Parser(Language(tree_sitter_powershell.language())).parse(script).root_node
wrong = [node for node in nodes(root) if node.is_error or node.is_missing]
if wrong:
    sys.exit(f"{sys.argv[1]}: line {wrong[0].start_point.row + 1}: {wrong[0].text.decode()}")
entries = [node.children for node in nodes(root) if node.type == "hash_entry"]
print(json.dumps({word(entry[0]): word(entry[-1]) for entry in entries}))
