"""A page: one HTML file that needs nothing else."""

from __future__ import annotations

from sarpipe.report.markup import Html, text
from sarpipe.report.style import STYLE


def document(title: str, header: Html, main: Html, *, style: str, script: str = "", script_policy: str = "") -> str:
    """A whole document, which may load nothing: neither from the network nor from the disk.

    Args:
        title: Of the window; data.
        header: What stands before ``main``, an element.
        main: The content.
        style: CSS besides the common one.
        script: A script element, or nothing.
        script_policy: The directive of the content security policy that allows it.
    """
    rules = ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", script_policy]
    policy = "; ".join([*filter(None, rules), "base-uri 'none'", "form-action 'none'"])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}{style}</style>
</head>
<body>
{header}
<main>
{main}
</main>
<footer></footer>
{script}</body>
</html>
"""
