// The pages of a node, a pod, a gang and a namespace, beside the map.

import { h, say } from "./dom.js";
import { ask, state } from "./store.js";
import { decision } from "./side.js";
import { picture } from "./picture.js";
import { fullName, held, sums } from "./cells.js";
import { asks, count, devices, many, path, percent, short, since, timeOfDay } from "./format.js";
import { colourOf } from "./palette.js";
import { showNode } from "./map.js";

const part = (title, ...content) => h("section", { class: "part" }, title && h("h3", {}, title), content);
const facts = (...pairs) => h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== undefined && value !== "" && value !== null && value !== false)
  .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
const link = (text, ...to) => h("a", { class: "link", href: path(...to) }, text);

/** A page in the column beside the map; focus goes to its title. */
export function frame(kind, title, ...content) {
  const heading = h("h2", { tabindex: "-1", id: "detail-title" }, h("span", { class: "kind" }, kind), title);
  const page = h("article", { class: "detail", "aria-labelledby": "detail-title" },
    h("header", {}, heading, h("a", { class: "icon", href: "#/", "aria-label": "Close, back to the overview" }, "✕")), content);
  return { page, heading };
}

function put(container, { page, heading }, focus) {
  const top = container.scrollTop;
  const had = document.activeElement?.id === "detail-title";
  container.replaceChildren(page);
  if (focus || had) heading.focus({ preventScroll: true });
  container.scrollTop = focus ? 0 : top;
}

// What was asked for last: an answer to an earlier question is of no use any more.
let turn = 0;
// Somebody went to a page that is not there yet; to which.
let expected = "";

/** Asks, and shows what comes; again for what is on show, without taking focus. */
async function open(container, kind, title, question, show, focus) {
  const own = ++turn;
  if (focus) expected = question;
  let content;
  try {
    content = show(await ask(question));
  } catch (error) {
    content = part("", h("p", { class: "why calm" }, error.message));
  }
  if (own !== turn) return;
  const arrives = expected === question;
  expected = "";
  put(container, frame(kind, title, content), arrives);
  if (arrives) say(`${kind} ${title}`);
}

export const leave = () => { turn += 1; };

const segment = (text) => encodeURIComponent(text);

// --- node

export function node(container, name, focus) {
  return open(container, "Node", name, `/nodes/${segment(name)}`, (detail) => {
    const slot = state.byName.get(name);
    const face = state.faces.get(slot);
    const [cells, kind] = [state.bySlot.get(slot), face && state.kinds[face.kind]];
    const drawn = cells && kind && picture(kind, cells);
    const sum = cells && kind && sums(cells, kind);
    const wasted = cells && !cells.cordoned && !cells.leaving ? cells.free - cells.usable : 0;
    return [
      drawn && part("", drawn.picture, h("p", { class: "note ties" }, drawn.note)),
      part("",
        facts(
          ["Devices", kind && `${count(kind.devices)} × ${kind.product ?? "unknown"}`],
          ["In use", sum && `${devices(sum.used)} of ${devices(sum.total)}${sum.failed ? `, ${devices(sum.failed)} failed` : ""}`],
          ["Free", cells && cells.free > 0 && `${devices(cells.free)}${wasted > 0 ? `, of which typical pods cannot use ${devices(wasted)}` : ""}`],
          ["Machine", detail.instanceType ?? detail.machine],
          ["Zone", detail.zone],
          ["Rack", face?.rack],
          ["State", [detail.cordoned && "cordoned", cells?.leaving && "about to be removed"].filter(Boolean).join(", ")],
          ["Taints", detail.taints.length > 0 && h("ul", {}, detail.taints.map((taint) => h("li", { class: "mono" }, taint)))],
          ["Not understood", detail.notUnderstood.length > 0 && h("ul", {}, detail.notUnderstood.map((text) => h("li", {}, text)))]),
        face && h("div", { class: "actions" }, h("button", { class: "button", type: "button", onclick: () => showNode(name) }, "Show on the map"))),
      detail.devices.length > 0 && part("Devices that claims have", h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Device"), h("th", { scope: "col" }, "Claim"))),
        h("tbody", {}, detail.devices.map((given) => h("tr", {}, h("td", { class: "mono" }, given.device),
          h("td", {}, h("ul", {}, given.claims.map(([namespace, name]) => h("li", {}, link(name, "claim", namespace, name)))))))))),
      detail.pools.length > 0 && part("", h("table", {},
        h("thead", {}, h("tr", {}, ["Resource", "Capacity", "Works", "Free"].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, detail.pools.map((pool) => h("tr", {},
          h("td", {}, h("span", { class: "mono" }, pool.resource), h("span", { class: "sub" }, pool.unit)),
          h("td", {}, count(pool.capacity)), h("td", {}, count(pool.allocatable)), h("td", { class: pool.free > 0 ? "" : "zero" }, count(pool.free))))))),
      part(many(detail.holders.length, "pod"), detail.holders.length === 0 ? h("p", { class: "empty" }, "Nothing runs here.") : h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Pod"), h("th", { scope: "col" }, "Has"), h("th", { scope: "col" }, "Age"))),
        h("tbody", {}, detail.holders.map((pod) => h("tr", {},
          h("td", {}, link(pod.name, "pod", pod.namespace, pod.name), h("span", { class: "sub" }, [pod.namespace, pod.gang && `gang ${pod.gang}`, pod.planned && "place kept"].filter(Boolean).join(" · "))),
          h("td", {}, pod.accelerators.map(([name, amount]) => `${count(amount)} ${short(name)}`).join(", ") || "–", pod.devices && h("span", { class: "sub" }, `GPU ${pod.devices.join(", ")}`)),
          h("td", {}, since(pod.createdS))))))),
    ];
  }, focus);
}

// --- pod

export function pod(container, namespace, name, focus) {
  return open(container, "Pod", name, `/pods/${segment(namespace)}/${segment(name)}`, (detail) => {
    const wanted = Object.fromEntries(Object.entries(detail.requests).filter(([name]) => name.includes("/")));
    const own = state.decisions.filter((line) => line.namespace === namespace && line.pod === name).reverse().slice(0, 4);
    return [
      part("", facts(
        ["Namespace", link(namespace, "namespace", namespace)],
        ["Asks for", asks(wanted) || "no accelerators"],
        ["Is on", detail.boundTo && link(detail.boundTo, "node", detail.boundTo)],
        ["Gang", detail.gang && link(detail.gang, "gang", namespace, detail.gang)],
        ["Claims", detail.claims.length > 0 && h("ul", {}, detail.claims.map((claim) => h("li", {}, claim.name ? link(claim.name, "claim", namespace, claim.name) : `${claim.alias}, yet to be made`)))],
        ["Treated as", detail.treatedAs],
        ["Priority", String(detail.priority)],
        ["Age", since(detail.createdS)]),
        detail.unscheduled && h("p", { class: "why ties" }, detail.unscheduled)),
      part(detail.boundTo ? `Without it, it would fit on ${count(detail.fitting)} of ${many(detail.nodes, "node")}` : `Fits on ${count(detail.fitting)} of ${many(detail.nodes, "node")}`,
        detail.places.length === 0 ? h("p", { class: "empty" }, "It fits nowhere now.") : h("table", {},
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Best places"), h("th", { scope: "col" }, "The best is better in"))),
          h("tbody", {}, detail.places.map((place) => h("tr", {},
            h("td", {}, link(place.node, "node", place.node)), h("td", { class: "zero" }, place.behind ?? "")))))),
      detail.misses.length > 0 && part("Nearest misses", h("ul", {}, detail.misses.map((miss) => h("li", { class: "miss" },
        link(miss.node, "node", miss.node), h("p", {}, miss.obstacles.join("; ")), h("p", { class: "note" }, `To do: ${miss.whatToDo.join("; ")}`))))),
      detail.verdicts.length > 0 && part("Why not elsewhere", h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Reason"), h("th", { scope: "col" }, "Nodes"))),
        h("tbody", {}, detail.verdicts.map((verdict) => h("tr", {},
          h("td", {}, verdict.text, h("span", { class: "sub" }, verdict.examples.join(", "))), h("td", {}, count(verdict.nodes))))))),
      own.length > 0 && part("Decisions", h("ul", {}, own.map((line) => decision(line)))),
    ];
  }, focus);
}

// --- gang

export function gang(container, namespace, name, focus) {
  return open(container, "Gang", name, `/gangs/${segment(namespace)}/${segment(name)}`, (gangs) => gangs.map((gang) => {
    const line = state.gangs.underway.find((line) => line.namespace === namespace && line.name === name);
    // Domains with no place at all say little, unless there are no others.
    const near = gang.domains.filter((domain) => domain.places > 0);
    const domains = near.length > 0 ? near : gang.domains.slice(0, 2);
    return [
      part("", facts(
        ["Stage", gang.stage],
        ["Namespace", link(namespace, "namespace", namespace)],
        ["Asks for", line && asks(line.asks)],
        ["Written as", h("span", { class: "mono" }, gang.writtenAs)],
        ["Priority", String(gang.priority)],
        ["Age", line && since(line.createdS)],
        ["Failed plans", gang.failedPlans > 0 && `${count(gang.failedPlans)} in a row`],
        ["Not tried", gang.avoidedNodes.join(", ")]),
        gang.why && h("p", { class: "why ties", id: "gang-why" }, gang.why)),
      domains.length > 0 && part("Where it comes nearest", h("table", {},
        h("thead", {}, h("tr", {}, [domains[0].level, "Nodes", "Places"].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, domains.map((domain) => h("tr", {},
          h("td", {}, domain.takenBy ? `${domain.domain} (${domain.takenBy} is there)` : domain.domain), h("td", {}, count(domain.nodes)), h("td", {}, `${count(domain.places)} of ${count(domain.needed)}`)))))),
      gang.waitsForPlaces && answered("What would make room", `/room/${segment(namespace)}/${segment(name)}`, room),
      part(many(gang.members.length, "member"), h("table", {},
        h("thead", {}, h("tr", {}, ["Member", "State", "Node"].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, gang.members.map((member) => h("tr", {},
          h("td", {}, member.pod ? link(member.pod, "pod", namespace, member.pod) : h("span", { class: "empty" }, "to be made"),
            (member.role || member.index !== undefined) && h("span", { class: "sub" }, [member.role, member.index !== undefined && `number ${member.index}`].filter(Boolean).join(", "))),
          h("td", {}, member.state), h("td", {}, member.node ? link(member.node, "node", member.node) : "–")))))),
    ];
  }), focus);
}

function room({ pods }) {
  if (pods === null) return h("p", {}, "Nothing that runs is in its way: it would not fit though all ended.");
  return h("div", {},
    h("p", {}, `It would fit if ${pods.length === 1 ? "this pod" : `these ${pods.length} pods`} ended. Nothing is done about it.`),
    h("ul", { class: "ties" }, pods.slice(0, 24).map((pod) => h("li", {}, link(pod.name, "pod", pod.namespace, pod.name), h("span", { class: "note" }, ` on ${pod.node}`)))),
    pods.length > 24 && h("p", { class: "more" }, `and ${count(pods.length - 24)} more`));
}

// --- claim

export function claim(container, namespace, name, focus) {
  return open(container, "ResourceClaim", name, `/claims/${segment(namespace)}/${segment(name)}`, (detail) => [
    part("", facts(
      ["Stage", detail.stage],
      ["Namespace", link(namespace, "namespace", namespace)],
      ["Asks for", detail.asks],
      ["Allocated by", detail.isOurs ? "testudo" : "kube-scheduler"],
      ["Node", detail.node && link(detail.node, "node", detail.node)],
      ["Gang", detail.gang && link(detail.gang, "gang", namespace, detail.gang)],
      ["Pods", detail.pods.length > 0 && h("ul", {}, detail.pods.map((pod) => h("li", {}, link(pod, "pod", namespace, pod))))]),
      detail.why && h("p", { class: "why ties", id: "claim-why" }, detail.why)),
    detail.devices.length > 0 && part(many(detail.devices.length, "device"), h("table", {},
      h("thead", {}, h("tr", {}, ["Device", "Pool", "Driver"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, detail.devices.map(([driver, pool, device]) => h("tr", {}, h("td", { class: "mono" }, device), h("td", {}, pool), h("td", {}, driver)))))),
    detail.isOpen && answered("Where it could get devices", `/claims/${segment(namespace)}/${segment(name)}/places`, places),
  ], focus);
}

function places({ node, devices, refusals, whatToDo }) {
  if (node) return h("p", {}, `On ${node}: ${devices.join(", ")}.`);
  return h("div", {},
    h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "What stands against it"), h("th", { scope: "col" }, "Nodes"))),
      h("tbody", {}, refusals.map(({ text, nodes, examples }) => h("tr", {}, h("td", {}, text, h("span", { class: "sub" }, examples.join(", "))), h("td", {}, count(nodes)))))),
    h("p", { class: "note ties" }, `To do: ${whatToDo.join("; or ")}.`));
}

// --- questions that take a while at the server: asked when a page is opened, once a minute, and when somebody says so

const FRESH_MS = 60_000;
const answers = new Map();

function answered(title, question, show) {
  const box = h("div", { class: "answer", "data-question": question });
  const known = answers.get(question);
  if (known) box.replaceChildren(show(known.answer), again(title, question, show, known.atMs));
  else box.replaceChildren(h("p", { class: "empty" }, "Looking…"));
  if (!known || Date.now() - known.atMs > FRESH_MS) askFor(title, question, show);
  return part(title, box);
}

const again = (title, question, show, atMs) => h("p", { class: "more" }, `As of ${timeOfDay(atMs)}. `,
  h("button", { class: "link plain", type: "button", "data-key": `again ${question}`, onclick: () => askFor(title, question, show) }, "Look again"));

async function askFor(title, question, show) {
  let content;
  try {
    const known = { answer: await ask(question), atMs: Date.now() };
    if (answers.size > 50) answers.clear();
    answers.set(question, known);
    content = [show(known.answer), again(title, question, show, known.atMs)];
    say(`${title}: found`);
  } catch (error) {
    content = [h("p", { class: "why calm" }, error.message), again(title, question, show, Date.now())];
  }
  // The page may have been drawn anew meanwhile.
  document.querySelector(`[data-question="${CSS.escape(question)}"]`)?.replaceChildren(...content);
}

// --- namespace

export function namespace(container, name, focus) {
  leave();
  const sumOf = new Map();
  let sum = 0;
  for (const [slot, cells] of state.bySlot) {
    const kind = state.kinds[state.faces.get(slot)?.kind];
    for (const { run, milli } of kind ? held(cells, kind) : []) {
      const workload = state.workloads[run.workload];
      if (workload?.namespace !== name) continue;
      const known = sumOf.get(workload) ?? { milli: 0, pods: 0 };
      sumOf.set(workload, { milli: known.milli + milli, pods: known.pods + 1 });
      sum += milli;
    }
  }
  const rows = [...sumOf].sort(([, a], [, b]) => b.milli - a.milli);
  put(container, frame("Namespace", name,
    part("", facts(["Holds", `${devices(sum)} devices, ${percent(sum, state.totals.totalMilli)} of the fleet`], ["On the map", "all others are dimmed"])),
    part(many(rows.length, "workload"), rows.length === 0 ? h("p", { class: "empty" }, "It holds no devices.") : h("table", {},
      h("thead", {}, h("tr", {}, ["Workload", "Pods", "Devices"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.slice(0, 100).map(([workload, { milli, pods }]) => h("tr", {},
        h("td", {}, h("span", { class: "line" }, h("span", { class: "swatch", style: { display: "inline-block", "margin-right": "7px", background: colourOf(fullName(workload)) } }),
          workload.gang ? link(workload.name, "gang", name, workload.name) : workload.name)),
        h("td", {}, count(pods)), h("td", {}, devices(milli)))))))), focus);
}
