"""MkDocs hooks: pages for Markdown files outside docs/, and a check that no page loads from another host."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "models/everyday.md": "models/everyday/README.md",
    "models/reliability.png": "models/everyday/reliability.png",
    **{
        f"results/{path.name}": f"benchmarks/results/{path.name}"
        for path in ROOT.glob("benchmarks/results/*.md")
    },
}
"""Path in the site -> file of the repository, for files that are not in docs/."""
LINK = re.compile(r"(?P<text>\[[^\]]*\])\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
HTML_SOURCE = re.compile(r"""(?<=<img src=")[^":]+(?=")""")
EXTERNAL = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=["']?(?:https?:)?//[^>]*>""")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of `OUTSIDE` to the site."""
    for src_uri, source in OUTSIDE.items():
        files.append(File.generated(config, src_uri, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at the pages of the site; links to files that the site lacks become plain text.

    In the repository, links are relative to the file that holds them.
    """
    source = OUTSIDE.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    in_site = {repository: site for site, repository in OUTSIDE.items()}

    def page_of(target: str) -> str | None:
        """The address in the site of a link's target; None where the site lacks it."""
        repository = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (ROOT / repository).exists():
            return target  # MkDocs reports it
        site = in_site.get(repository, repository.removeprefix("docs/"))
        if files.get_file_from_path(site) is None:
            return None
        return posixpath.relpath(site, posixpath.dirname(page.file.src_uri))

    def relink(link: re.Match[str]) -> str:
        address = page_of(link["target"])
        return link["text"][1:-1] if address is None else f"{link['text']}({address}{link['anchor'] or ''})"

    def resource(link: re.Match[str]) -> str:
        return page_of(link[0]) or link[0]

    return LINK.sub(relink, HTML_SOURCE.sub(resource, markdown))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that loads a script, a style or an image from another host."""
    if external := EXTERNAL.search(output):
        raise PluginError(f"{page.file.src_uri}: loads from another host: {external[0]}")
    return output
