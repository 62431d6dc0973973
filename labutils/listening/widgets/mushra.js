// MUSHRA (ITU-R BS.1534-3): rate several versions against an open reference.
import { h, button, keycap } from "./page.js";
import { Panel } from "./panel.js";

const WORDS = ["Excellent", "Good", "Fair", "Poor", "Bad"];

class MushraPanel extends Panel {
  get kind() { return "mushra"; }
  get unit() { return "Page"; }
  length(pages) { return pages === 1 ? "1 page" : `${pages} pages`; }

  start(message, sounds) {
    this.log = null;
    const { answered, trials } = message;
    const text = answered
      ? h("p", {}, `Welcome back. ${answered} of ${trials} pages are answered and stored; the test `
        + `goes on with page ${answered + 1}.`)
      : h("p", {}, "Say how close each numbered sound comes to the reference. All run in step: "
        + "switch as often as you like. One of the numbered sounds is the reference itself, so at "
        + "least one deserves 100; some others were made bad on purpose.");
    const advice = h("p", {}, "This page is for practice, with sounds of the test, and stores "
      + "nothing. Hear them all to learn how far apart they are, set a volume that is comfortable, "
      + "and leave it as it is. The names come at the end.");
    const page = this.build(message, sounds, null);
    const begin = this.forward(answered ? "Go on with the test" : "Begin the test",
      () => this.begin());
    this.body.replaceChildren(h("div", { class: "lt-intro" }, text, ...(answered ? [] : [advice])),
      page, h("div", { class: "lt-forward" }, begin));
    this.update();
  }

  trial(message, sounds) {
    this.number = message.number;
    this.player?.pause();
    this.body.replaceChildren(this.build(message, sounds, () => this.answer()));
    this.update();
  }

  answer() {
    this.player.pause();
    this.sent = true;
    this.update();
    this.kernel.send({
      kind: "answer", view: this.view, trial: this.number, answer: Object.fromEntries(this.scores),
      facts: this.log.facts(this.clock.median()),
    });
  }

  build(message, sounds, action) {
    const labels = ["Reference", ...message.labels];
    this.sent = false;
    this.action = action;
    this.scores = new Map();
    const keys = Object.fromEntries(message.labels.slice(0, 10).map((label) => [label.at(-1), label]));
    const transport = this.listen(labels, sounds, message.rate, { ...keys, r: "Reference" },
      sounds[0]);
    const columns = message.labels.map((label) => this.column(label));
    const scale = h("div", { class: "lt-scale", "aria-hidden": "true" },
      ...WORDS.map((word) => h("div", {}, word)));
    const reference = this.soundButton("Reference", "R");
    this.next = action && button({ class: "lt-next", onclick: () => this.go() }, "Next", "Enter");
    this.missing = h("span", { class: "lt-missing", role: "status" });
    Object.assign(this.keys, {
      ArrowLeft: (event) => this.step(-1, event), ArrowRight: (event) => this.step(1, event),
      ArrowUp: () => this.move(1), ArrowDown: () => this.move(-1),
      PageUp: () => this.move(10), PageDown: () => this.move(-10), Enter: () => this.go(),
    });
    return h("div", { class: "lt-page" }, transport,
      h("div", { class: "lt-letters" }, reference,
        h("span", { class: "lt-hint" }, "Numbers, ", keycap("←"), " ", keycap("→"), " choose a "
          + "sound; ", keycap("↑"), " ", keycap("↓"), " rate it")),
      h("div", { class: "lt-rating", role: "group", "aria-label": "Ratings" }, scale, ...columns),
      action && h("div", { class: "lt-answer" }, this.next, this.missing));
  }

  column(label) {
    const slider = h("input", {
      type: "range", min: 0, max: 100, step: 1, value: 50, class: "lt-slider lt-unset",
      "aria-label": `Rating of sound ${label}`, "aria-orientation": "vertical",
      "aria-valuetext": "not rated", tabindex: -1,
    });
    const value = h("output", { class: "lt-value" }, "–");
    slider.addEventListener("pointerdown", (event) => this.choose(label, event));
    for (const kind of ["input", "pointerup"]) {
      slider.addEventListener(kind, () => this.rate(label, Number(slider.value)));
    }
    return h("div", { class: "lt-column", "data-label": label }, slider, value,
      this.soundButton(label, label.slice(-1)));
  }

  rate(label, score) {
    if (this.sent) return;
    this.scores.set(label, score);
    const column = this.buttons.get(label).parentElement;
    const slider = column.querySelector("input");
    slider.value = score;
    slider.classList.remove("lt-unset");
    slider.setAttribute("aria-valuetext", `${score}, ${WORDS[4 - Math.min(4, Math.floor(score / 20))]}`);
    column.querySelector("output").textContent = score;
    this.update();
  }

  // The numbered sound beside the one that is heard.
  step(by, event) {
    const last = this.labels.length - 1;
    const to = Math.min(Math.max(this.player.selected + by, 1), last);
    this.choose(this.labels[to], event);
  }

  move(by) {
    const label = this.labels[this.player.selected];
    if (label === "Reference") return;
    const score = (this.scores.get(label) ?? 50) + by;
    this.rate(label, Math.min(Math.max(score, 0), 100));
  }

  choose(label, event) {
    super.choose(label, event);
    // A screen reader speaks the rating that the arrows change.
    const column = this.buttons.get(label).closest(".lt-column");
    const inside = this.root.contains(document.activeElement);
    if (column && inside) column.querySelector("input").focus({ preventScroll: true });
  }

  go() {
    if (this.sent || !this.action || this.open().text) return;
    this.action();
  }

  // What is still to do before the page is answered.
  open() {
    const unheard = this.labels.filter((label) => !this.heard.has(label));
    const unrated = this.labels.slice(1).filter((label) => !this.scores.has(label));
    if (unheard.length) {
      const names = unheard.map((label) => (label === "Reference" ? "the reference" : label));
      return { text: `Listen to ${names.join(", ")} first.` };
    }
    return { text: unrated.length ? `Rate ${unrated.join(", ")}.` : "" };
  }

  update() {
    super.update();
    if (!this.missing) return;
    const { text } = this.open();
    this.next?.setAttribute("aria-disabled", String(this.sent || Boolean(text)));
    this.missing.textContent = this.sent || !this.action ? "" : text;
    for (const [label, made] of this.buttons) {
      const column = made.closest(".lt-column");
      column?.classList.toggle("lt-current", this.labels.indexOf(label) === this.player.selected);
    }
  }
}

export default {
  render({ model, el }) {
    const panel = new MushraPanel(model, el);
    return () => panel.close();
  },
};
