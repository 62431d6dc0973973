// The frame of a listening test: start page, trials, end; transport, keys and the log of a trial.
import { h, keycap, samples, Kernel, Status } from "./page.js";
import { Player, SwitchClock } from "./player.js";
import { Wave } from "./wave.js";

const PLAY = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M4 2.5v11l9-5.5z"/></svg>';
const PAUSE = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M4 2.5h3v11H4zM9 2.5h3v11H9z"/></svg>';

export class Panel {
  constructor(model, element) {
    this.closing = new AbortController();
    this.status = new Status();
    this.kernel = new Kernel(model, this.status);
    this.title = h("div", { class: "lt-title" });
    this.counter = h("div", { class: "lt-counter" });
    this.progress = h("progress", { max: 1, value: 0, "aria-label": "Answered" });
    this.body = h("div", { class: "lt-body" });
    this.switching = h("div", { class: "lt-switching" });
    this.root = h("div", { class: `lt lt-${this.kind}`, tabindex: 0, role: "group" },
      h("div", { class: "lt-top" }, this.title, this.counter), this.progress, this.body,
      h("div", { class: "lt-foot" }, this.status.element, this.switching));
    element.append(this.root);
    this.keys = {};
    const options = { signal: this.closing.signal };
    this.root.addEventListener("keydown", (event) => this.press(event), options);
    this.root.addEventListener("keyup", (event) => {
      // Firefox clicks a focused button when the space bar comes up.
      if (event.key === " " && !event.target.closest(".lt-plain")) event.preventDefault();
    }, options);
    this.root.addEventListener("pointerup", () => this.focus(), options);
    // Jupyter would take "a", "b" and "x" as: insert a cell above, below, cut it. With Ctrl, Alt
    // or Shift, and with Escape, its own keys stay what they are.
    window.addEventListener("keydown", (event) => {
      const own = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
      this.root.toggleAttribute("data-lm-suppress-shortcuts", !own && event.key !== "Escape");
    }, { ...options, capture: true });
    // One sound at a time in a page.
    document.addEventListener("labutils-play", (event) => {
      if (event.detail !== this) this.player?.pause();
    }, options);
    this.listener = (message, buffers) => this.hear(message, buffers ?? []);
    model.on("msg:custom", this.listener);
    this.model = model;
    this.status.say("Asking the kernel for the test.");
    this.kernel.send({ kind: "ready" });
  }

  close() {
    this.closing.abort();
    this.model.off("msg:custom", this.listener);
    this.kernel.answered();
    this.wave?.close();
    this.context?.close();
  }

  focus() {
    if (!this.root.contains(document.activeElement)) this.root.focus({ preventScroll: true });
  }

  hear(message, buffers) {
    if (message.kind === "problem") {
      this.kernel.failed(message.text);
      return;
    }
    this.kernel.answered();
    const { answered, trials } = message;
    this.title.textContent = message.title;
    this.root.setAttribute("aria-label", `Listening test: ${message.title}`);
    this.progress.max = trials;
    this.progress.value = answered;
    const sounds = buffers.map(samples);
    if (message.kind === "start") {
      this.counter.textContent = answered ? `${answered} of ${trials} answered` : this.length(trials);
      this.status.say(message.note ?? "");
      this.start(message, sounds);
    } else if (message.kind === "trial") {
      this.counter.textContent = `${this.unit} ${message.number + 1} of ${trials}`;
      this.status.say(answered ? `${answered === 1 ? "1 answer is" : `${answered} answers are`} stored.` : "");
      this.log = { shown: performance.now(), plays: {}, listened: {}, switches: 0 };
      this.trial(message, sounds);
    } else {
      this.counter.textContent = "Finished";
      this.status.say(`All ${trials} answers are stored.`);
      this.finish(message);
    }
    if (this.started) this.focus();
  }

  // A button that goes on to another page.
  forward(text, action) {
    return h("button", { class: "lt-plain lt-primary", onclick: action }, text);
  }

  begin() {
    this.started = true;
    this.player?.pause();
    this.kernel.send({ kind: "begin" });
  }

  finish(message) {
    this.player?.pause();
    this.context?.suspend();
    this.keys = {};
    this.switching.replaceChildren();
    const result = h("div", { class: "lt-result" });
    result.innerHTML = message.html; // from this package, in the kernel
    this.body.replaceChildren(result);
  }

  // Player, transport and keys for the sounds of one page. `labels`: what each sound is called
  // here, such as "A"; `keys`: {key: label}.
  listen(labels, sounds, rate, keys) {
    if (!this.context) {
      try {
        this.context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
      } catch {
        this.context = new AudioContext({ latencyHint: "interactive" });
      }
      this.player = new Player(this.context);
      this.clock = new SwitchClock(this.context);
      this.player.onchange = () => this.update();
      this.clock.onmeasure = () => this.showSwitching();
    }
    this.labels = labels;
    this.heard = new Set();
    this.buttons = new Map();
    this.player.load(sounds, rate);
    this.wave?.close();
    this.wave = new Wave(this.player, sounds[0]);
    this.playButton = h("button", { class: "lt-play", onclick: (event) => this.toggle(event) });
    this.loopButton = h("button", { class: "lt-loop", onclick: () => this.toggleLoop() },
      "Loop", keycap("L"));
    this.wholeButton = h("button", { class: "lt-whole", onclick: () => this.wave.whole() },
      "Whole excerpt", keycap("W"));
    this.keys = {
      " ": (event) => this.toggle(event),
      l: () => this.toggleLoop(),
      s: () => this.wave.startHere(),
      e: () => this.wave.endHere(),
      w: () => this.wave.whole(),
    };
    for (const [key, label] of Object.entries(keys)) {
      this.keys[key] = (event) => this.choose(label, event);
    }
    const hint = h("span", { class: "lt-hint" }, "Drag over the outline to hear a part of it, or ",
      keycap("S"), " starts and ", keycap("E"), " ends it here");
    return h("div", { class: "lt-listen" }, this.wave.element,
      h("div", { class: "lt-transport" }, this.playButton, this.loopButton, this.wholeButton, hint));
  }

  // The button that lets one sound be heard.
  soundButton(label, ...content) {
    const button = h("button", {
      class: "lt-sound", "aria-pressed": "false", onclick: (event) => this.choose(label, event),
    }, ...content);
    this.buttons.set(label, button);
    return button;
  }

  choose(label, event) {
    const channel = this.labels.indexOf(label);
    const { player } = this;
    if (player.playing && channel === player.selected) return;
    if (player.playing) {
      player.select(channel);
      this.clock.measure(event);
      if (this.log) this.log.switches += 1;
    } else {
      player.select(channel);
      this.startPlaying();
    }
    this.count(label);
  }

  startPlaying() {
    for (const audio of document.querySelectorAll("audio")) audio.pause();
    document.dispatchEvent(new CustomEvent("labutils-play", { detail: this }));
    this.player.play();
  }

  toggle() {
    if (this.player.playing) this.player.pause();
    else {
      this.startPlaying();
      this.count(this.labels[this.player.selected]);
    }
  }

  toggleLoop() {
    this.player.setLoop(!this.player.loop);
    this.update();
  }

  count(label) {
    this.heard.add(label);
    if (this.log) this.log.plays[label] = (this.log.plays[label] ?? 0) + 1;
    this.update();
  }

  // Book the time since the last change to the sound that was heard.
  bookTime() {
    const now = performance.now();
    if (this.hearing && this.log) {
      const { label, since } = this.hearing;
      this.log.listened[label] = (this.log.listened[label] ?? 0) + (now - since) / 1000;
    }
    this.hearing = this.player.playing && { label: this.labels[this.player.selected], since: now };
  }

  // What belongs to an answer besides the answer.
  facts() {
    this.bookTime();
    const { shown, plays, listened, switches } = this.log;
    const round = (value, digits) => Number(value.toFixed(digits));
    const median = this.clock.median();
    return {
      seconds: round((performance.now() - shown) / 1000, 2),
      plays,
      listened: Object.fromEntries(
        Object.entries(listened).map(([label, seconds]) => [label, round(seconds, 2)])),
      switches,
      switch_ms: median === null ? null : round(median, 1),
    };
  }

  showSwitching() {
    const median = this.clock.median();
    if (median === null) return;
    const device = Math.round(this.clock.outputMilliseconds());
    this.switching.textContent = `Switching takes ${median.toFixed(0)} ms `
      + `(measured here, median of ${this.clock.milliseconds.length})`
      + (device ? `; the sound device adds ${device} ms.` : ".");
  }

  // Show what the player does; subclasses add their own.
  update() {
    if (!this.playButton) return;
    this.bookTime();
    const playing = Boolean(this.player.playing);
    if (this.playButton.dataset.playing !== String(playing)) {
      this.playButton.dataset.playing = playing;
      this.playButton.innerHTML = playing ? PAUSE : PLAY;
      this.playButton.append(playing ? "Pause" : "Play", keycap("space"));
    }
    this.loopButton.setAttribute("aria-pressed", String(this.player.loop));
    this.wholeButton.hidden = this.wave.isWhole();
    this.labels.forEach((label, channel) => {
      const button = this.buttons.get(label);
      if (!button) return;
      button.setAttribute("aria-pressed", String(channel === this.player.selected));
      button.classList.toggle("lt-heard", this.heard.has(label));
      button.classList.toggle("lt-playing", playing && channel === this.player.selected);
    });
    this.wave.show();
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const native = event.target.closest(".lt-plain") && (key === " " || key === "Enter");
    const action = this.keys[key];
    if (native || !action) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat || key.startsWith("Arrow")) action(event);
  }
}
