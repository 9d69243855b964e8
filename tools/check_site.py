"""Open every page of build/site in Chromium with nothing but the site itself: no error, no missing figure, no broken link. `make docs` ends with this."""
import shutil
import sys
import threading
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

from playwright.sync_api import sync_playwright

SITE = Path(__file__).parent.parent / "build" / "site"


class Quiet(SimpleHTTPRequestHandler):
    "A file server that says nothing."

    def log_message(self, *arguments) -> None: pass

    def copyfile(self, source, outputfile) -> None: # the browser may have left already
        with suppress(BrokenPipeError, ConnectionResetError):
            super().copyfile(source, outputfile)


def check(page, address: str) -> tuple[list[str], list[str]]:
    "What is wrong with a page, and where it links to."
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
    links = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)")
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    return [*trouble, *(f"missing figure {source}" for source in broken)], links


def target_missing(link: str, home: str, anchors: dict[Path, set[str]], page) -> bool:
    "Does a link within the site lead nowhere?"
    address, fragment = urldefrag(link)
    path = SITE / unquote(address.removeprefix(home))
    if not path.is_file():
        return not (path / "index.html").is_file()
    if not fragment or path.suffix != ".html":
        return False
    if path not in anchors:
        page.goto(address)
        anchors[path] = set(page.evaluate("[...document.querySelectorAll('[id],a[name]')].flatMap(e => [e.id, e.getAttribute('name')])"))
    return unquote(fragment) not in anchors[path]


def main() -> int:
    "Check all pages; the number of pages that something is wrong with."
    chromium = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if chromium is None:
        print("no Chromium: the site was built and not looked at")
        return 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}/"
    pages, bad, links = sorted(set(SITE.rglob("*.html")) - {SITE / "404.html"}), 0, {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context().new_page()
        page.route(lambda url: not url.startswith((home, "data:", "blob:")), lambda route: route.abort())
        for path in pages:
            trouble, found = check(page, home + path.relative_to(SITE).as_posix())
            links |= {link: path for link in found if link.startswith(home)}
            bad += bool(trouble)
            for line in trouble:
                print(f"{path.relative_to(SITE)}: {line}")
        anchors: dict[Path, set[str]] = {}
        missing = [(path, link) for link, path in links.items() if target_missing(link, home, anchors, page)]
        for path, link in missing:
            print(f"{path.relative_to(SITE)}: broken link {link.removeprefix(home)}")
        browser.close()
    print(f"site: {len(pages)} pages, {len(links)} links within, {bad} pages with trouble, {len(missing)} broken links")
    return bad + len(missing)


if __name__ == "__main__":
    sys.exit(main() > 0)
