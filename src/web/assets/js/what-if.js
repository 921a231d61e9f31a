// What if: a manifest is tried, nothing changes.

import { h, say } from "./dom.js";
import { ask } from "./store.js";
import { frame } from "./detail.js";
import { count, many, path } from "./format.js";

const EXAMPLE = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: vllm-llama-70b
  namespace: team
spec:
  replicas: 3
  template:
    spec:
      tolerations: [{key: nvidia.com/gpu, operator: Exists}]
      containers:
        - name: vllm
          resources:
            requests: {cpu: "16", memory: 128Gi}
            limits: {nvidia.com/gpu: 4}
`;

let text = EXAMPLE;

function answerOf(workload) {
  const fits = workload.fitting >= workload.copies;
  return h("section", { class: "part" },
    h("header", {}, h("h2", {}, workload.name), h("span", { class: fits ? "chip good" : "chip wait" }, fits ? "fits" : workload.fitting > 0 ? "fits in part" : "does not fit")),
    h("p", {}, workload.copies === 1 ? (fits ? `${many(workload.pods, "pod")}, placed.` : `Its ${many(workload.pods, "pod")} would wait.`)
      : `${count(workload.fitting)} of ${count(workload.copies)} copies of ${many(workload.pods, "pod")} fit.`),
    workload.reason && h("p", { class: "why ties" }, workload.reason),
    workload.refusals.length > 0 && h("table", { class: "ties" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "What is missing"), h("th", { scope: "col" }, "Nodes"))),
      h("tbody", {}, workload.refusals.map(([reason, nodes]) => h("tr", {}, h("td", {}, reason), h("td", {}, count(nodes)))))),
    workload.places.length > 0 && h("table", { class: "ties" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Would go to"), h("th", { scope: "col" }, "Pods"))),
      h("tbody", {}, workload.places.map(([node, pods]) => h("tr", {}, h("td", {}, h("a", { class: "link", href: path("node", node) }, node)), h("td", {}, count(pods)))))));
}

export function open(container, focus) {
  const result = h("div", { class: "result", id: "what-if-result", role: "status" });
  const input = h("textarea", { id: "manifest", spellcheck: "false", "aria-describedby": "manifest-note" });
  input.value = text;
  input.addEventListener("input", () => { text = input.value; });
  const button = h("button", { class: "button strong", type: "button", id: "try", onclick: run }, "Would it fit?");
  async function run() {
    button.disabled = true;
    try {
      const answer = await ask("/what-if", { method: "POST", headers: { "content-type": "application/yaml" }, body: input.value });
      result.replaceChildren(...answer.workloads.map(answerOf));
      say(answer.workloads.map((workload) => `${workload.name}: ${workload.fitting} of ${workload.copies} fit`).join(", "));
    } catch (error) {
      result.replaceChildren(h("p", { class: "why" }, error.message));
    }
    button.disabled = false;
  }
  const { page, heading } = frame("What if", "Would it fit?",
    h("section", { class: "part" },
      h("label", { class: "sr", for: "manifest" }, "Manifest"), input,
      h("p", { class: "note ties", id: "manifest-note" }, "Pod, Deployment, StatefulSet, Job, LeaderWorkerSet, JobSet, Ray, KServe, objects that describe gangs, and ResourceClaimTemplates. It is tried on a copy of the present state: nothing changes, nobody is evicted."),
      h("div", { class: "actions" }, button)),
    result);
  container.replaceChildren(page);
  if (focus) heading.focus({ preventScroll: true });
}
