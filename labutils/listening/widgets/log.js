// What is stored beside an answer: how long the trial took, what was played, how often and how long.

function rounded(value, digits) {
  return Number(value.toFixed(digits));
}

export class TrialLog {
  constructor() {
    this.shown = performance.now();
    this.plays = {};
    this.listened = {};
    this.switches = 0;
    this.now = null;
  }

  played(label) {
    this.plays[label] = (this.plays[label] ?? 0) + 1;
  }

  // From now on `label` is heard; null: nothing is.
  hearing(label) {
    const time = performance.now();
    if (this.now) {
      const { label: before, since } = this.now;
      this.listened[before] = (this.listened[before] ?? 0) + (time - since) / 1000;
    }
    this.now = label && { label, since: time };
  }

  // `switching`: milliseconds of a switch, or null.
  facts(switching) {
    const listened = Object.entries(this.listened);
    return {
      seconds: rounded((performance.now() - this.shown) / 1000, 2),
      plays: this.plays,
      listened: Object.fromEntries(listened.map(([label, time]) => [label, rounded(time, 2)])),
      switches: this.switches,
      switch_ms: switching === null ? null : rounded(switching, 1),
    };
  }
}
