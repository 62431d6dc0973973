// The sounds of one trial, played in step. They are the channels of one buffer with one source:
// whatever the clock does, they cannot drift apart. Switching moves gains, nothing is restarted.

// Time constant of the crossfade in seconds: 95 % of the way in 6 ms, 99 % in 9 ms. All gains follow
// the same exponential, so their sum stays 1 even where one switch interrupts another: never louder.
export const FADE = 0.002;
// What is left of a fade after this many seconds: -130 dB.
const SILENT_AFTER = 15 * FADE;
// Seconds in which a part of a sound comes and goes, so that a loop does not click: half a period
// of a cosine, as BS.1534-3 asks for.
const EDGE = 0.005;

export class Player {
  // `context`: an AudioContext, best at the sounds' sample rate, so that only its own output
  // stage resamples (a source node would, and less well).
  constructor(context) {
    this.context = context;
    this.output = new GainNode(context);
    this.output.connect(context.destination);
    this.loop = true;
    this.selected = 0;
    this.playing = null;
    this.onchange = () => {};
    this.load([new Float32Array(1)], context.sampleRate);
  }

  // `sounds`: Float32Array each, equally long, full scale 1.
  load(sounds, rate) {
    this.pause();
    this.input?.disconnect();
    this.gains?.forEach((gain) => gain.disconnect());
    const { context } = this;
    this.buffer = new AudioBuffer({
      length: sounds[0].length, numberOfChannels: sounds.length, sampleRate: rate,
    });
    sounds.forEach((sound, channel) => this.buffer.copyToChannel(sound, channel));
    this.input = new ChannelSplitterNode(context, { numberOfOutputs: sounds.length });
    this.selected = 0;
    this.gains = sounds.map((_, channel) => {
      const gain = new GainNode(context, { gain: channel === 0 ? 1 : 0, channelCount: 1 });
      this.input.connect(gain, channel).connect(this.output);
      return gain;
    });
    this.region = [0, this.buffer.duration];
    this.paused = 0;
  }

  get seconds() {
    return this.buffer.duration;
  }

  // Let sound `channel` be heard, and no other; returns the time on the context's clock.
  select(channel) {
    const now = this.context.currentTime;
    this.selected = channel;
    this.gains.forEach((gain, index) => {
      gain.gain.setTargetAtTime(index === channel ? 1 : 0, now, FADE);
    });
    this.onchange();
    return now;
  }

  // Seconds into the sounds: where they are, or where they will go on.
  position() {
    if (!this.playing) return this.paused;
    const { from, at, region, loop } = this.playing;
    const here = from + Math.max(0, this.context.currentTime - at);
    const [start, end] = region;
    if (here < end) return here;
    return loop ? start + ((here - start) % (end - start)) : end;
  }

  play(position = this.paused) {
    this.stop();
    const [start, end] = this.region;
    const from = position >= start && position < end - 0.01 ? position : start;
    const at = this.context.currentTime;
    const source = new AudioBufferSourceNode(this.context, {
      buffer: this.part(start, end), loop: this.loop,
    });
    const fade = new GainNode(this.context, { gain: 0, channelInterpretation: "discrete" });
    fade.gain.setTargetAtTime(1, at, FADE);
    source.connect(fade).connect(this.input);
    source.start(at, from - start);
    const playing = { source, fade, from, at, region: [start, end], loop: this.loop };
    source.onended = () => {
      fade.disconnect();
      if (this.playing !== playing) return;
      this.playing = null;
      this.paused = start;
      this.onchange();
    };
    this.playing = playing;
    this.context.resume?.().catch(() => {}); // a browser may hold the sound until a click
    this.onchange();
  }

  // The sounds from `start` to `end` seconds, with smooth edges.
  part(start, end) {
    const { sampleRate, numberOfChannels, length: all } = this.buffer;
    const first = Math.min(Math.round(start * sampleRate), all - 1);
    const length = Math.max(1, Math.min(Math.round(end * sampleRate), all) - first);
    const edge = Math.min(Math.round(EDGE * sampleRate), Math.floor(length / 2));
    const part = new AudioBuffer({ length, numberOfChannels, sampleRate });
    for (let channel = 0; channel < numberOfChannels; channel += 1) {
      part.copyToChannel(this.buffer.getChannelData(channel).subarray(first, first + length), channel);
      const values = part.getChannelData(channel);
      for (let i = 0; i < edge; i += 1) {
        const gain = 0.5 - 0.5 * Math.cos((Math.PI * (i + 0.5)) / edge);
        values[i] *= gain;
        values[length - 1 - i] *= gain;
      }
    }
    return part;
  }

  // Fade out and stop; `position` stays.
  stop() {
    if (!this.playing) return;
    const { source, fade } = this.playing;
    this.paused = this.position();
    this.playing = null;
    const now = this.context.currentTime;
    fade.gain.setTargetAtTime(0, now, FADE);
    source.stop(now + SILENT_AFTER);
  }

  pause() {
    const was = this.playing;
    this.stop();
    if (was) this.onchange();
  }

  // Play only from `start` to `end` seconds. A sound that is playing goes on within them.
  setRegion(start, end) {
    this.region = [Math.max(0, start), Math.min(this.seconds, end)];
    this.again();
  }

  setLoop(loop) {
    this.loop = loop;
    this.again();
  }

  seek(position) {
    const [start, end] = this.region;
    this.paused = Math.min(Math.max(position, start), end);
    if (this.playing) this.play(this.paused);
    else this.onchange();
  }

  again() {
    if (this.playing) this.play(this.position());
    else this.seek(this.paused);
  }
}

// How long a switch takes, measured on the way that the sounds go. A constant runs through a gain
// with the same automation as the sounds' gains; an analyser keeps its last samples, and where
// they pass halfway is when the ear gets more of the new sound than of the old one.
export class SwitchClock {
  constructor(context) {
    this.context = context;
    this.high = 0;
    this.gain = new GainNode(context, { gain: 0 });
    this.analyser = new AnalyserNode(context, { fftSize: 32768 });
    this.constant = new ConstantSourceNode(context);
    const unheard = new GainNode(context, { gain: 0 });
    this.constant.connect(this.gain).connect(this.analyser).connect(unheard);
    unheard.connect(context.destination);
    this.constant.start();
    this.milliseconds = [];
    this.busy = false;
    this.onmeasure = () => {};
  }

  // `event`: the key or the click that asked; its time stamp is where the measure begins.
  measure(event) {
    if (this.busy || this.context.state !== "running") return;
    this.busy = true;
    const late = Math.max(0, performance.now() - event.timeStamp) / 1000;
    const asked = this.context.currentTime - late;
    this.high = 1 - this.high;
    this.gain.gain.setTargetAtTime(this.high, this.context.currentTime, FADE);
    setTimeout(() => this.read(asked), 120);
  }

  read(asked) {
    const samples = new Float32Array(this.analyser.fftSize);
    this.analyser.getFloatTimeDomainData(samples);
    const now = this.context.currentTime;
    let last = samples.length;
    while (last > 0 && samples[last - 1] > 0.5 === this.high > 0.5) last -= 1;
    const passed = now - (samples.length - last) / this.context.sampleRate;
    this.busy = false;
    if (last === 0 || last === samples.length) return;
    this.milliseconds.push(1000 * (passed - asked));
    this.onmeasure();
  }

  // The middle one of all measures in ms, or null; what the machine's output adds to each.
  median() {
    const sorted = [...this.milliseconds].sort((a, b) => a - b);
    return sorted.length ? sorted[Math.floor(sorted.length / 2)] : null;
  }

  outputMilliseconds() {
    const { baseLatency = 0, outputLatency = 0 } = this.context;
    return 1000 * (baseLatency + outputLatency);
  }
}
