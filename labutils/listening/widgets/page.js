// What both tests share: building elements, and the conversation with the kernel.

export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// A key as text to read; in a button it is decoration, where a screen reader says the shortcut.
export function keycap(text) {
  return h("kbd", { class: "lt-key" }, text);
}

export function button(attributes, text, key) {
  const cap = keycap(key);
  cap.setAttribute("aria-hidden", "true");
  const spoken = { "←": "ArrowLeft", "→": "ArrowRight" }[key] ?? key;
  return h("button", { type: "button", "aria-keyshortcuts": spoken, ...attributes }, text, cap);
}

// Sounds come as 16-bit little-endian samples, one buffer a sound.
export function samples(view) {
  const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  return Float32Array.from(new Int16Array(bytes), (sample) => sample / 32768);
}

// Sends one request at a time and says so when no answer comes: the kernel is busy, or gone.
export class Kernel {
  constructor(model, status) {
    this.model = model;
    this.status = status;
    this.asked = null;
  }

  send(message) {
    this.asked = message;
    clearTimeout(this.timer);
    this.model.send(message);
    this.timer = setTimeout(() => {
      this.status.say("Waiting for the kernel, which is busy. Nothing is lost.");
      this.timer = setTimeout(() => {
        const again = h("button", { class: "lt-plain", onclick: () => this.send(message) }, "Ask again");
        this.status.say(
          "No answer from the kernel. Run this cell again in JupyterLab: the test goes on after "
          + "the last answer that was stored.", "problem", again);
      }, 12000);
    }, 2500);
  }

  answered() {
    clearTimeout(this.timer);
    this.asked = null;
  }

  // Something went wrong there; `text` says what.
  failed(text) {
    const message = this.asked;
    this.answered();
    const again = message
      && h("button", { class: "lt-plain", onclick: () => this.send(message) }, "Try again");
    this.status.say(text, "problem", again);
  }
}

export class Status {
  constructor() {
    this.element = h("div", { class: "lt-status", role: "status" });
  }

  say(text, kind = "", button = null) {
    this.element.className = `lt-status ${kind && `lt-${kind}`}`;
    this.element.replaceChildren(text, ...(button ? [" ", button] : []));
  }
}
