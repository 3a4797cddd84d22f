"""The browsers that pages run in: a process each, which one set of names drives."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from marionette_driver.marionette import Marionette  # type: ignore[import-untyped]
from selenium.webdriver import (
    Chrome,
    ChromeOptions,
    ChromeService,
    WebKitGTK,
    WebKitGTKOptions,
    WebKitGTKService,
)

from ..support.needs import program

SCRIPT_TIMEOUT = 20.0
"""Seconds that an asynchronous script has."""


class Browser(Protocol):
    """A browser with one page."""

    def get(self, url: str) -> None:
        """Open a page."""

    def execute_script(self, script: str, *args: Any) -> Any:
        """Run a script in the page, and return what it returns."""

    def execute_async_script(self, script: str, *args: Any) -> Any:
        """Run a script in the page, and return what it calls its last argument with."""


@contextmanager
def chromium(*flags: str) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = program("chromium")
    for flag in "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", *flags:
        options.add_argument(flag)
    chrome = Chrome(options=options, service=ChromeService(program("chromedriver")))
    chrome.set_script_timeout(SCRIPT_TIMEOUT)
    try:
        yield chrome
    finally:
        chrome.quit()


IN_THE_PAGE = """
    // Without this an assignment to a global of the page would make one of Marionette's own.
    const [script, ...rest] = arguments;
    return new window.Function(script)(...rest);
"""


class Firefox:
    """Firefox, driven by its own protocol, as not every system has geckodriver."""

    def __init__(self, marionette: Marionette) -> None:
        self._marionette = marionette

    def get(self, url: str) -> None:
        self._marionette.navigate(url)

    def execute_script(self, script: str, *args: Any) -> Any:
        return self._marionette.execute_script(IN_THE_PAGE, (script, *args), sandbox=None)

    def execute_async_script(self, script: str, *args: Any) -> Any:
        return self._marionette.execute_async_script(IN_THE_PAGE, (script, *args), sandbox=None)


@contextmanager
def firefox() -> Iterator[Firefox]:
    path = program("firefox-esr")
    with TemporaryDirectory() as profiles:
        marionette = Marionette(
            app="fxdesktop",
            bin=path,
            port=0,
            headless=True,
            gecko_log=profiles,  # a file there: an existing one is removed, were it /dev/null
            workspace=profiles,
        )
        try:
            marionette.start_session({"acceptInsecureCerts": True})
            marionette.timeout.script = SCRIPT_TIMEOUT
            yield Firefox(marionette)
        finally:
            marionette.cleanup()


@contextmanager
def webkit() -> Iterator[WebKitGTK]:
    service = program("WebKitWebDriver")
    with display() as name:
        environment = {**os.environ, "DISPLAY": name}
        browser = WebKitGTK(WebKitGTKOptions(), WebKitGTKService(service, env=environment))
        browser.set_script_timeout(SCRIPT_TIMEOUT)
        try:
            yield browser
        finally:
            browser.quit()


@contextmanager
def display() -> Iterator[str]:
    """Run a screen that nobody sees, for browsers that cannot do without one."""
    path = program("Xvfb")
    reading, writing = os.pipe()
    command = [path, "-nolisten", "tcp", "-displayfd", str(writing)]
    with open(reading) as number:
        screen = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
        os.close(writing)
        try:
            yield f":{number.readline().strip()}"
        finally:
            screen.terminate()
            screen.wait()


ENGINES: dict[str, Callable[..., AbstractContextManager[Browser]]] = {
    "chromium": chromium,
    "firefox": firefox,
    "webkit": webkit,
}
