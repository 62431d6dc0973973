// ABX: two sounds, and X, which is one of them.
import { h, button } from "./page.js";
import { Panel } from "./panel.js";

// The louder of A and B at every moment: a picture of the excerpt, and of neither of the two.
function both([a, b]) {
  return a.map((sample, i) => (Math.abs(sample) > Math.abs(b[i]) ? sample : b[i]));
}

class AbxPanel extends Panel {
  get kind() { return "abx"; }
  get unit() { return "Trial"; }
  length(trials) { return trials === 1 ? "1 trial" : `${trials} trials`; }

  start(message, sounds) {
    this.log = null;
    this.practice = { sounds: sounds.slice(0, 2), rate: message.rate, tries: 0, right: 0 };
    const { answered, trials } = message;
    const text = answered
      ? h("p", {}, `Welcome back. ${answered} of ${trials} trials are answered and stored; the `
        + `test goes on with trial ${answered + 1}. Practise first if you like.`)
      : h("p", {}, "A and B are two versions of one sound. X is one of the two again: say which. "
        + "All three run in step, so switch as often as you like. The difference may be small, or "
        + "nothing that can be heard: where you hear none, guess. A guess is an answer.");
    const advice = h("p", {}, "This page is for practice: it says whether you were right, and "
      + "stores nothing. Set a volume that is comfortable, use headphones if you have some, and leave "
      + "the volume as it is. In the test you learn the result, and what A and B were, at the end.");
    this.intro = h("div", { class: "lt-intro" }, text, ...(answered ? [] : [advice]));
    this.again();
  }

  // A new X to practise with.
  again() {
    const { sounds, rate } = this.practice;
    this.practice.x = Math.random() < 0.5 ? "A" : "B";
    const x = sounds[this.practice.x === "A" ? 0 : 1];
    const page = this.build([...sounds, x], rate, "Check", () => this.check());
    const begin = this.forward(this.progress.value ? "Go on with the test" : "Begin the test",
      () => this.begin());
    this.body.replaceChildren(this.intro, page, h("div", { class: "lt-forward" }, begin));
    this.update();
  }

  check() {
    const { x, tries, right } = this.practice;
    const good = this.choice === x;
    Object.assign(this.practice, { tries: tries + 1, right: right + good });
    const word = good ? "Right" : "No";
    const score = `${this.practice.right} of ${this.practice.tries} right in practice`;
    this.player.pause();
    this.again();
    this.status.say(`${word}: X was ${x}. (${score}; here is a new X.)`);
    this.focus();
  }

  trial(message, sounds) {
    this.number = message.number;
    const { player } = this;
    player?.pause();
    this.body.replaceChildren(this.build(sounds, message.rate, "Next", () => this.answer()));
    this.update();
  }

  answer() {
    this.player.pause();
    this.sent = true;
    this.update();
    this.kernel.send({
      kind: "answer", view: this.view, trial: this.number, answer: this.choice, facts: this.log.facts(this.clock.median()),
    });
  }

  build(sounds, rate, next, action) {
    this.choice = null;
    this.sent = false;
    const transport = this.listen(["A", "B", "X"], sounds, rate, { a: "A", b: "B", x: "X" },
      both(sounds));
    const letters = ["A", "B", "X"].map((label) => this.soundButton(label, label));
    this.choices = ["A", "B"].map((label) => button({
      class: "lt-choice", role: "radio", "aria-checked": "false", onclick: () => this.pick(label),
    }, `X is ${label}`, label === "A" ? "←" : "→"));
    this.next = button({ class: "lt-next", onclick: () => this.go() }, next, "Enter");
    this.missing = h("span", { class: "lt-missing", role: "status" });
    this.action = action;
    Object.assign(this.keys, {
      ArrowLeft: () => this.pick("A"), ArrowRight: () => this.pick("B"), Enter: () => this.go(),
    });
    return h("div", { class: "lt-page" }, transport,
      h("div", { class: "lt-letters", role: "group", "aria-label": "Sounds" }, ...letters),
      h("div", { class: "lt-answer" },
        h("div", { class: "lt-choices", role: "radiogroup", "aria-label": "Which is X?" },
          ...this.choices), this.next, this.missing));
  }

  pick(label) {
    if (this.sent) return;
    this.choice = label;
    this.update();
  }

  unheard() {
    return this.labels.filter((label) => !this.heard.has(label));
  }

  go() {
    if (this.sent || !this.choice || this.unheard().length) return;
    this.action();
  }

  update() {
    super.update();
    if (!this.next) return;
    ["A", "B"].forEach((label, index) => {
      this.choices[index].setAttribute("aria-checked", String(this.choice === label));
    });
    const unheard = this.unheard();
    const ready = !this.sent && this.choice && !unheard.length;
    this.next.setAttribute("aria-disabled", String(!ready));
    const names = unheard.join(", ").replace(/, (.)$/, " and $1");
    const listen = unheard.length ? `Listen to ${names} first.` : "";
    this.missing.textContent = this.sent ? "" : listen || (this.choice ? "" : "Which one is X?");
  }
}

export default {
  render({ model, el }) {
    const panel = new AbxPanel(model, el);
    return () => panel.close();
  },
};
