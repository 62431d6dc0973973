// The frame of a listening test: start page, trials, end; transport, keys and the log of a trial.
import { h, button, keycap, samples, Kernel, Status } from "./page.js";
import { TrialLog } from "./log.js";
import { Player, SwitchClock } from "./player.js";
import { Wave } from "./wave.js";

const ICON = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="';
const PLAY = `${ICON}M4 2.5v11l9-5.5z"/></svg>Play`;
const PAUSE = `${ICON}M4 2.5h3v11H4zM9 2.5h3v11H9z"/></svg>Pause`;

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
      // Firefox scrolls or clicks when the space bar comes up.
      if (event.key === " " && !event.target.closest("button")) event.preventDefault();
    }, options);
    // After a click of the mouse the keys are the test's again: Space plays, Enter goes on. A
    // button that was reached by Tab keeps the focus, and Space and Enter press it.
    this.root.addEventListener("click", (event) => {
      if (event.detail && event.target.closest("button")) this.root.focus({ preventScroll: true });
      else this.focus();
    }, options);
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
    // Several views of one widget hear every reply; some are for one of them only.
    this.view = Math.random().toString(36).slice(2);
    this.kernel.send({ kind: "ready", view: this.view });
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
    const single = !this.started || message.kind === "start" || message.kind === "problem";
    if (single && message.view !== this.view) return;
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
      this.log = new TrialLog();
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
    this.kernel.send({ kind: "begin", view: this.view });
  }

  finish(message) {
    this.player?.pause();
    this.context?.suspend();
    this.keys = {};
    const result = h("div", { class: "lt-result" });
    result.innerHTML = message.html; // from this package, in the kernel
    this.body.replaceChildren(result);
  }

  // Player, transport and keys for the sounds of one page. `labels`: what each sound is called
  // here, such as "A"; `keys`: {key: label}; `outline`: the sound that the picture shows.
  listen(labels, sounds, rate, keys, outline) {
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
    this.wave = new Wave(this.player, outline);
    this.playButton = button({ class: "lt-play", onclick: () => this.toggle() },
      h("span", { class: "lt-icon" }), "Space");
    this.loopButton = button({ class: "lt-loop", onclick: () => this.toggleLoop() }, "Loop", "L");
    this.wholeButton = button({ class: "lt-whole", onclick: () => this.wave.whole() },
      "Whole excerpt", "W");
    this.keys = {
      " ": () => this.toggle(),
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
  soundButton(label, key) {
    const made = button({
      class: "lt-sound", "aria-label": label.length < 3 ? `Sound ${label}` : label,
      "aria-pressed": "false", onclick: (event) => this.choose(label, event),
    }, h("span", { class: "lt-letter" }, label), key);
    this.buttons.set(label, made);
    return made;
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
    this.log?.played(label);
    this.update();
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
    const playing = Boolean(this.player.playing);
    this.log?.hearing(playing ? this.labels[this.player.selected] : null);
    if (this.playButton.dataset.playing !== String(playing)) {
      this.playButton.dataset.playing = playing;
      this.playButton.firstElementChild.innerHTML = playing ? PAUSE : PLAY;
    }
    this.loopButton.setAttribute("aria-pressed", String(this.player.loop));
    this.wholeButton.hidden = this.wave.isWhole();
    this.labels.forEach((label, channel) => {
      const made = this.buttons.get(label);
      if (!made) return;
      made.setAttribute("aria-pressed", String(channel === this.player.selected));
      made.classList.toggle("lt-playing", playing && channel === this.player.selected);
    });
    this.wave.show();
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const native = event.target.closest("button") && (key === " " || key === "Enter");
    const action = this.keys[key];
    if (native || !action) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat || key.startsWith("Arrow")) action(event);
  }
}
