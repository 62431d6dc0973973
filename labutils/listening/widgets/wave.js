// The outline of the excerpt with the playhead, and the part that is played, drawn with the pointer.
import { h } from "./page.js";

const SHORTEST = 0.15; // seconds; a shorter part than this was meant as a click

export class Wave {
  // `samples`: of a sound that all have in common, so that the picture tells nothing.
  constructor(player, samples) {
    this.player = player;
    this.samples = samples;
    this.canvas = h("canvas", {});
    this.part = h("div", { class: "lt-part" });
    this.head = h("div", { class: "lt-head" });
    this.element = h("div", { class: "lt-wave", role: "img" }, this.part, this.canvas, this.head);
    this.element.addEventListener("pointerdown", (event) => this.drag(event));
    this.element.addEventListener("dblclick", () => this.whole());
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.element);
    this.show();
  }

  close() {
    this.resizing.disconnect();
    cancelAnimationFrame(this.frame);
  }

  draw() {
    const { canvas, samples } = this;
    const box = this.element.getBoundingClientRect();
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(box.width * scale), Math.round(box.height * scale)];
    if (!width || !height) return;
    canvas.width = width;
    canvas.height = height;
    const pen = canvas.getContext("2d");
    pen.fillStyle = getComputedStyle(this.element).getPropertyValue("color");
    let loudest = 1e-9;
    for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
    const step = samples.length / width;
    for (let x = 0; x < width; x += 1) {
      let [low, high] = [0, 0];
      for (let i = Math.floor(x * step); i < (x + 1) * step && i < samples.length; i += 1) {
        low = Math.min(low, samples[i]);
        high = Math.max(high, samples[i]);
      }
      const top = (0.5 - (0.46 * high) / loudest) * height;
      pen.fillRect(x, top, 1, Math.max(scale, (0.46 * (high - low) * height) / loudest));
    }
    this.show();
  }

  // Playhead and part, now and while a sound is playing.
  show() {
    cancelAnimationFrame(this.frame);
    const { player } = this;
    const [start, end] = player.region.map((second) => (100 * second) / player.seconds);
    this.part.style.left = `${start}%`;
    this.part.style.width = `${end - start}%`;
    this.head.style.left = `${(100 * player.position()) / player.seconds}%`;
    const [from, to] = player.region.map((second) => second.toFixed(1));
    const label = `Outline of the excerpt; ${from} to ${to} s is played`;
    if (this.element.getAttribute("aria-label") !== label) {
      this.element.setAttribute("aria-label", label);
    }
    if (player.playing) this.frame = requestAnimationFrame(() => this.show());
  }

  second(event) {
    const box = this.element.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    return Math.min(Math.max(share, 0), 1) * this.player.seconds;
  }

  drag(event) {
    if (event.button !== 0) return;
    const from = this.second(event);
    const end = new AbortController();
    const both = (other) => [from, this.second(other)].sort((a, b) => a - b);
    const options = { signal: end.signal };
    this.element.setPointerCapture(event.pointerId);
    this.element.addEventListener("pointermove", (moved) => {
      const [start, stop] = both(moved).map((second) => (100 * second) / this.player.seconds);
      this.part.style.left = `${start}%`;
      this.part.style.width = `${stop - start}%`;
    }, options);
    this.element.addEventListener("pointercancel", () => { end.abort(); this.show(); }, options);
    this.element.addEventListener("pointerup", (last) => {
      end.abort();
      const [start, stop] = both(last);
      if (stop - start >= SHORTEST) this.setPart(start, stop);
      else { this.player.seek(from); this.show(); }
    }, options);
  }

  setPart(start, end) {
    if (end - start < SHORTEST) return;
    this.player.setRegion(start, end);
    this.player.onchange();
    this.show();
  }

  startHere() {
    this.setPart(this.player.position(), this.player.region[1]);
  }

  endHere() {
    this.setPart(this.player.region[0], this.player.position());
  }

  whole() {
    this.setPart(0, this.player.seconds);
  }

  isWhole() {
    const [start, end] = this.player.region;
    return start === 0 && end === this.player.seconds;
  }
}
