// Numbers, times and names as people read them.

const whole = new Intl.NumberFormat("en");
const oneDecimal = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const count = (number) => whole.format(number);

/** Thousandths of devices as devices. */
export const devices = (milli) => (milli >= 100_000 ? whole.format(Math.round(milli / 1000)) : oneDecimal.format(milli / 1000));

/** A share in percent; nothing of nothing is nothing. */
export function percent(part, all) {
  if (!all) return "0 %";
  const share = (part / all) * 100;
  return `${share > 0 && share < 9.95 ? share.toFixed(1) : Math.round(share)} %`;
}

export const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

/** How long ago, in one unit: `45 s`, `12 min`, `3 h`, `9 d`. */
export function ago(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

export const since = (createdS) => (createdS ? ago(Date.now() / 1000 - createdS) : "");
export const timeOfDay = (ms) => clock.format(new Date(ms));

/** A resource without its domain. */
export const short = (resource) => resource.slice(resource.lastIndexOf("/") + 1);

export const asks = (requests) => Object.entries(requests).map(([name, amount]) => `${count(amount)} ${short(name)}`).join(", ");

export const path = (...parts) => "#/" + parts.map((part) => encodeURIComponent(part)).join("/");
