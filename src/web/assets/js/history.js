// What the time line keeps, as the server does (src/web/view/history.rs): a quarter of an hour second by second, and a day
// minute by minute.

const SECONDS = 900;
const MINUTES = 1440;

/** Adds a sample, `[at, ...]`, to those that there are, oldest first: in place. */
export function keep(samples, sample) {
  samples.push(sample);
  const minutes = samples.length - SECONDS;
  if (minutes <= 0) return;
  // One sample is no longer among the seconds. It stays where it is a minute after the one before it.
  const old = minutes - 1;
  if (old > 0 && samples[old][0] < samples[old - 1][0] + 60) samples.splice(old, 1);
  else if (minutes > MINUTES) samples.shift();
}
