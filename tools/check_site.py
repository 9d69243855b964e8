"""Look at build/site: on every page, no broken link and no missing figure; in Chromium, with nothing but the site itself, no error. `make docs` ends with this.

Chromium opens one page of each kind; with `--all` every page.
"""
import base64
import binascii
import shutil
import sys
import threading
from contextlib import suppress
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from playwright.sync_api import sync_playwright

SITE = Path(__file__).parent.parent / "build" / "site"
KINDS = ("index.html", "05_eval.html", "07_search_page.html", "api/evaluation.html", "results.html") # a front page, a notebook, one with players, an API page, results
BEGINNINGS = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8"} # how a figure within a page begins


class Page(HTMLParser):
    "Where a page links to, what it shows, and what can be linked to in it."

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.shown: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name) and (name == "id" or tag == "a")}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("img", "audio", "source", "script") and given.get("src"):
            self.shown.append(given["src"])
        elif tag == "link" and given.get("href") and given.get("rel") in ("stylesheet", "icon"):
            self.shown.append(given["href"])


def local(address: str) -> bool:
    return not urlsplit(address).scheme and not address.startswith("//")


def target(page: Path, address: str) -> tuple[Path, str]: # file and fragment
    path, fragment = urldefrag(address)
    path = urlsplit(path).path
    found = page if not path else (SITE / path.lstrip("/") if path.startswith("/") else page.parent / path)
    found = Path(unquote(str(found))).resolve()
    return (found / "index.html" if found.is_dir() else found), unquote(fragment)


def broken_figure(address: str) -> bool: # one that is written into the page
    kind, _, data = address.removeprefix("data:").partition(",")
    if not kind.endswith(";base64"):
        return False
    try:
        content = base64.b64decode("".join(unquote(data).split()), validate=True)
    except binascii.Error:
        return True
    return not content.startswith(BEGINNINGS.get(kind.removesuffix(";base64"), b""))


def read_pages() -> tuple[dict[Path, Page], list[str]]: # pages, and what is wrong with them
    "Follow every link and every source of every page."
    pages, trouble = {path: Page(path) for path in sorted(SITE.resolve().rglob("*.html"))}, []
    for path, page in pages.items():
        where = path.relative_to(SITE.resolve())
        if where.name == "404.html": # it is shown at any address
            continue
        for address in filter(local, page.links):
            file, fragment = target(path, address)
            if not file.is_file() or fragment and file in pages and fragment not in pages[file].anchors:
                trouble.append(f"{where}: broken link {address}")
        for address in page.shown:
            if broken_figure(address) if address.startswith("data:") else local(address) and not target(path, address)[0].is_file():
                trouble.append(f"{where}: missing {address[:100]}")
    return pages, trouble


class Quiet(SimpleHTTPRequestHandler):
    "A file server that says nothing."

    def log_message(self, *arguments) -> None: pass

    def copyfile(self, source, outputfile) -> None: # the browser may have left already
        with suppress(BrokenPipeError, ConnectionResetError):
            super().copyfile(source, outputfile)


def look(page, address: str) -> list[str]:
    "What is wrong with a page in a browser."
    trouble = []
    listeners = {"pageerror": lambda error: trouble.append(f"error {error}"), "requestfailed": lambda request: trouble.append(f"not loaded: {request.url[:120]}") if request.failure != "net::ERR_ABORTED" else None,
                 "console": lambda message: trouble.append(f"console {message.text}") if message.type == "error" else None}
    for event, listener in listeners.items():
        page.on(event, listener)
    page.goto(address, wait_until="load")
    broken = page.evaluate("""async () => {
        const images = [...document.images];
        images.forEach(i => i.loading = 'eager');
        await Promise.all(images.map(i => i.decode().catch(() => 0)));
        return images.filter(i => !i.naturalWidth).map(i => i.src.slice(0, 100));
    }""")
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    return [*trouble, *(f"missing figure {source}" for source in broken)]


def look_at(paths: list[Path]) -> list[str]: # what is wrong
    "Open pages in Chromium, without a network."
    chromium = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if chromium is None:
        print("no Chromium: the site was built, and not looked at in a browser")
        return []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home, found = f"http://127.0.0.1:{server.server_port}/", []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context().new_page()
        page.route(lambda url: not url.startswith((home, "data:", "blob:")), lambda route: route.abort())
        for path in paths:
            where = path.relative_to(SITE.resolve()).as_posix()
            found += [f"{where}: {line}" for line in look(page, home + where)]
        browser.close()
    return found


def main() -> int:
    "Check the site; what is wrong with it is printed, and counted."
    pages, trouble = read_pages()
    opened = [path for path in pages if path.name != "404.html"] if "--all" in sys.argv else [SITE.resolve() / name for name in KINDS]
    trouble += look_at(opened)
    print(*trouble, sep="\n", end="\n" if trouble else "")
    print(f"site: {len(pages)} pages with {sum(len(page.links) for page in pages.values())} links, {len(opened)} pages opened in a browser, {len(trouble)} with trouble")
    return len(trouble)


if __name__ == "__main__":
    sys.exit(main() > 0)
