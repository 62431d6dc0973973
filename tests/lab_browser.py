"""JupyterLab in a headless browser, for tests: open a notebook, run it from the menu, listen."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import nbformat

SETTINGS = {
    # Every cell stays in the page, also those that are not in view.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none", "scrollPastEnd": False},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}

STATE = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  const kernel = panel?.sessionContext?.session?.kernel;
  const state = {kernel: kernel?.status ?? 'none', executed: 0, errors: []};
  for (const cell of panel?.content?.model?.cells ?? []) {
    if (cell.type !== 'code') continue;
    state.executed += cell.executionCount !== null;
    for (let i = 0; i < cell.outputs.length; i++) {
      const output = cell.outputs.get(i).toJSON();
      if (output.output_type === 'error') state.errors.push(`${output.ename}: ${output.evalue}`);
    }
  }
  return state;
}"""

SOUNDS = """async () => {
  const context = new OfflineAudioContext(1, 1, 48000);
  const players = document.querySelectorAll(
    '.jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output audio');
  const sounds = [];
  for (const player of players) {
    const sound = {seconds: 0, peak: 0, rms: 0, error: ''};
    try {
      const address = player.currentSrc || player.src || player.querySelector('source').src;
      const decoded = await context.decodeAudioData(await (await fetch(address)).arrayBuffer());
      sound.seconds = decoded.duration;
      for (let channel = 0; channel < decoded.numberOfChannels; channel++) {
        // Without both ends: the browser's resampling rings there, even for a constant.
        const samples = decoded.getChannelData(channel).slice(1000, -1000);
        const mean = samples.reduce((sum, x) => sum + x, 0) / samples.length;
        const power = samples.reduce((sum, x) => sum + (x - mean) ** 2, 0) / samples.length;
        sound.rms = Math.max(sound.rms, Math.sqrt(power));
        sound.peak = samples.reduce((most, x) => Math.max(most, Math.abs(x - mean)), sound.peak);
      }
    } catch (error) { sound.error = String(error); }
    sounds.push(sound);
  }
  return sounds;
}"""


def chromium() -> str | None:
    """The path of a Chromium or Chrome on this machine, or None."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    return str(mac) if mac.is_file() else None


@dataclass(frozen=True)
class Sound:
    """One player's sound as the browser decoded it; levels without the mean, full scale = 1."""

    seconds: float
    peak: float
    rms: float
    error: str

    def audible(self) -> bool:
        return not self.error and self.seconds > 0.1 and self.peak > 1e-2 and self.rms > 1e-3


class LabServer:
    """A JupyterLab server on a free port, with a new home and its own folder of notebooks."""

    def __init__(self, folder: Path) -> None:
        self.home, self.notebooks = folder / "home", folder / "notebooks"
        self.log = folder / "server.log"
        self.token = secrets.token_hex(16)
        self.url = ""

    def __enter__(self) -> LabServer:
        self.home.mkdir()
        self.notebooks.mkdir()
        for name, values in SETTINGS.items():
            path = self.home / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("JUPYTER", "IPYTHON"))
        }
        environment = kept | {
            "HOME": str(self.home),
            "JUPYTER_RUNTIME_DIR": str(self.home / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.home / "workspaces"),
            "JUPYTER_PREFER_ENV_PATH": "1",
        }
        command = [
            *(
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                "--ServerApp.port=0",
            ),
            *(f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.notebooks}"),
            "--LabApp.expose_app_in_browser=True",  # the tests ask it what has run
        ]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=self.notebooks, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def request(self, path: str, method: str = "GET") -> bytes:
        """One call of the server's REST interface."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.read()

    def _wait_until_ready(self, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            for path in (self.home / "runtime").glob("jpserver-*.json"):
                try:
                    self.url = json.loads(path.read_text())["url"]
                    self.request("api/status")
                    return
                except (ValueError, OSError):
                    pass  # the file is being written, or the port does not answer yet
            time.sleep(0.2)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-3000:]}")


class Browser:
    """A headless browser; closed, with the kernels of what it opened, at the end of the block."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.servers: set[LabServer] = set()

    def __enter__(self) -> Browser:
        from playwright.sync_api import sync_playwright

        self.playwright = sync_playwright().start()
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        try:
            self.chromium = self.playwright.chromium.launch(
                executable_path=self.program, args=arguments
            )
        except BaseException:
            self.playwright.stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.chromium.close()
        self.playwright.stop()
        for server in self.servers:
            for session in json.loads(server.request("api/sessions")):
                server.request(f"api/sessions/{session['id']}", "DELETE")

    def open(self, server: LabServer, path: Path) -> NotebookPage:
        """Copy a notebook to the server without its outputs; wait until its kernel is ready."""
        self.servers.add(server)
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, server.notebooks / path.name)
        page = self.chromium.new_page(viewport={"width": 1400, "height": 1000})
        workspace = secrets.token_hex(4)  # a used one would open its notebooks again
        page.goto(f"{server.url}lab/workspaces/{workspace}/tree/{path.name}?token={server.token}")
        opened = NotebookPage(
            page, sum(bool(c.source.strip()) for c in notebook.cells if c.cell_type == "code")
        )
        opened.wait(lambda state: state["kernel"] == "idle", 120, "its kernel is ready")
        return opened


class NotebookPage:
    """A notebook open in JupyterLab. `page` is Playwright's, for what else a test wants to do."""

    def __init__(self, page, code_cells: int) -> None:
        self.page, self.code_cells = page, code_cells

    def state(self) -> dict:
        return self.page.evaluate(STATE)

    def wait(self, condition, seconds: float, until: str) -> dict:
        """Poll the page's state until `condition` holds; AssertionError when time is up."""
        end = time.monotonic() + seconds
        while not condition(state := self.state()):
            assert time.monotonic() < end, (
                f"waited {seconds:.0f} s until {until}; the page shows {state}"
            )
            self.page.wait_for_timeout(250)
        return state

    def run_all(self, seconds: float = 300) -> None:
        """Run > Run All Cells; returns when the kernel is idle and all have run, or one failed."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

        def finished(state: dict) -> bool:
            done = state["executed"] == self.code_cells or state["errors"]
            return bool(done) and state["kernel"] == "idle"

        self.wait(finished, seconds, f"all {self.code_cells} code cells have run")

    def errors(self) -> list[str]:
        """The text of every error output."""
        return self.state()["errors"]

    def sounds(self) -> list[Sound]:
        """What each audio player in the outputs holds, decoded by the browser."""
        return [Sound(**sound) for sound in self.page.evaluate(SOUNDS)]

    def screenshot(self, path: Path, tallest: int = 12000) -> Path:
        """A picture of the whole notebook: the window is made as tall as it needs to be."""
        panel = ".jp-NotebookPanel:not(.lm-mod-hidden)"
        outer = f"document.querySelector('{panel} .jp-WindowedPanel-outer')"
        height = self.page.evaluate(f"() => {outer}.scrollHeight")
        self.page.set_viewport_size({"width": 1400, "height": min(height + 200, tallest)})
        self.page.evaluate(f"() => {outer}.scrollTo(0, 0)")
        self.page.wait_for_timeout(500)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)
        return path
