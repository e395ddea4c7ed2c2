"use strict";
// Folded parts open for print, and where a link leads to them.
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const reveal = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
};
addEventListener("beforeprint", () => all("details").forEach(d => { d.open = true; }));
addEventListener("hashchange", reveal);
reveal();

// --- Figures: the value of the nearest point under the pointer, or a finger; else of the area there. ---
for (const title of all("svg.figure title")) {
  title.parentElement.dataset.value = title.textContent;
  title.remove(); // the browser would show it too, later
}
const tip = document.body.appendChild(document.createElement("div"));
tip.id = "tip";
const show = event => {
  const figure = event.target.closest?.("svg.figure"), { clientX: x, clientY: y } = event;
  const near = (figure ? all("use[data-value]", figure) : []).map(point => {
    const box = point.getBoundingClientRect();
    return [Math.hypot(x - box.left - box.width / 2, y - box.top - box.height / 2), point];
  }).reduce((a, b) => b[0] < a[0] ? b : a, [16]);
  tip.textContent = ((near[1] ?? event.target).dataset?.value ?? "").replaceAll("; ", "\n");
  tip.style.left = `${Math.max(0, Math.min(x + 12, innerWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${y > tip.offsetHeight + 10 ? y - tip.offsetHeight - 10 : y + 18}px`;
};
addEventListener("pointermove", show);
addEventListener("pointerdown", show);

// --- Tables: a click or Enter on a heading sorts by it, totals stay last; long ones have a filter. ---
const number = text => {
  const found = text.replace(/−/g, "-").replace(/(\d),(?=\d{3})/g, "$1").match(/[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?/i);
  return found && /^[^a-z]*[-+<>×σ≥≤ ]*\d/i.test(text.replace(/−/g, "-")) ? parseFloat(found[0]) : NaN;
};
const sort = (table, column, heading) => {
  const body = table.tBodies[0], rows = [...body.rows];
  const order = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const key = row => row.cells[column].textContent.trim();
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)], [p, q] = [number(x), number(y)];
    if (isNaN(p) && isNaN(q)) return order * x.localeCompare(y);
    return isNaN(p) ? 1 : isNaN(q) ? -1 : order * (p - q);
  };
  body.append(...rows.filter(r => !r.matches(".total, .faint")).sort(compare), ...rows.filter(r => r.matches(".total, .faint")));
  all("th", table).forEach(th => th.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", order > 0 ? "ascending" : "descending");
};
for (const table of all("main table:not(.fixed)")) {
  const rows = table.tBodies[0] ? [...table.tBodies[0].rows] : [];
  if (rows.length < 2 || rows.some(row => all("[colspan]", row).length)) continue;
  all("thead th", table).forEach((th, column) => {
    if (!th.textContent.trim()) return;
    th.tabIndex = 0;
    th.classList.add("sorts");
    th.title = "Sort by this column";
    th.addEventListener("click", () => sort(table, column, th));
    th.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(table, column, th); }
    });
  });
  if (rows.length > 14) {
    const box = document.createElement("input");
    Object.assign(box, { type: "search", placeholder: `Filter ${rows.length} rows`, className: "filter" });
    box.setAttribute("aria-label", "Show rows with these words");
    box.addEventListener("input", () => rows.forEach(row => {
      row.hidden = !row.textContent.toLowerCase().includes(box.value.toLowerCase());
    }));
    table.parentElement.before(box);
  }
}

// --- What if: I = L A - L^2 B (L d + t)^-1 B' + diag(p / s^2), the uncertainty is that of the first parameter. ---
// Correlated priors have an inverse covariance: beside p what is "coupled". Fixed is then a very small scale.
const uncertainty = (run, scales, luminosity, simulation) => {
  const size = run.names.length, bins = run.own.length, kept = [], coupled = {};
  const scale = run.names.map(name => Math.max(scales[name] ?? 1, run.coupled.length ? 1e-4 : 0));
  for (const [i, j, value] of run.coupled) coupled[i * size + j] = value;
  for (let i = 0; i < size; i++) if (!run.priors[i] || scale[i] > 0) kept.push(i);
  const weight = run.own.map((own, k) => simulation ? luminosity ** 2 / (luminosity * own + run.simulated[k]) : 0);
  const matrix = kept.map((i, a) => kept.slice(0, a + 1).map(j => {
    let value = luminosity * run.data[i * (i + 1) / 2 + j];
    for (let k = 0; simulation && k < bins; k++) value -= weight[k] * run.mixed[i * bins + k] * run.mixed[j * bins + k];
    const prior = i === j ? run.priors[i] : coupled[i * size + j] ?? 0;
    return prior ? value + prior / scale[i] / scale[j] : value;
  }));
  // Eliminate the parameters from the last to the second: what is left of the first is 1 / its variance.
  for (let k = kept.length - 1; k > 0; k--) {
    if (!(matrix[k][k] > 0)) continue;
    for (let i = 0; i < k; i++) for (let j = 0; j <= i; j++) matrix[i][j] -= matrix[k][i] * matrix[k][j] / matrix[k][k];
  }
  return 1 / Math.sqrt(matrix[0][0]);
};
const median = values => {
  const sorted = [...values].sort((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const ask = () => {
  const { sources, runs, places } = JSON.parse(document.getElementById("what-if-data").textContent);
  const form = document.getElementById("what-if-form"), body = document.getElementById("what-if-table").tBodies[0];
  const trainings = Object.fromEntries([...body.rows].map(row => [row.dataset.training, row]));
  const nominal = runs.map(run => uncertainty(run, {}, 1, true));
  const expected = (run, index, scales, luminosity, simulation) => Math.hypot(
    Math.sqrt(Math.max(run.sigma ** 2 - run.spread ** 2, 0)) * uncertainty(run, scales, luminosity, simulation) / nominal[index],
    simulation ? run.spread : 0);
  const medians = (...asked) => Object.fromEntries(Object.keys(trainings).map(name => [name,
    median(runs.map((run, index) => [run, index]).filter(([run]) => run.training === name).map(pair => expected(...pair, ...asked)))]));
  const today = medians({}, 1, true);
  const percent = value => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)} %`;
  const update = () => {
    const scales = {}, fields = form.elements;
    for (const [source, names] of Object.entries(sources)) for (const name of names) scales[name] = +fields[source].value;
    const luminosity = 10 ** fields["luminosity ×"].value, simulation = fields["simulation ×"].checked;
    for (const input of all("input[type=range]", form)) {
      const value = input.name === "luminosity ×" ? luminosity : +input.value;
      input.nextElementSibling.textContent = `× ${+value.toPrecision(value < 1 ? 2 : 3)}`;
      input.setAttribute("aria-valuetext", input.nextElementSibling.textContent);
    }
    const then = medians(scales, luminosity, simulation);
    const order = Object.keys(then).sort((a, b) => then[a] - then[b]);
    for (const name of order) {
      const cells = trainings[name].cells, change = then[name] / today[name] - 1;
      cells[2].textContent = then[name].toFixed(places);
      cells[3].textContent = Math.abs(change) < 5e-4 ? "" : percent(change);
      cells[4].textContent = name === order[0] ? "best" : percent(then[name] / then[order[0]] - 1);
      trainings[name].classList.toggle("first", name === order[0]);
    }
    body.append(...order.map(name => trainings[name]));
    const label = name => trainings[name].cells[0].textContent.replace("●", "").trim();
    document.getElementById("what-if-answer").textContent = order.length < 2 ? "" :
      `${label(order[0])} measures best, ${percent(then[order[0]] / then[order[1]] - 1)} against ${label(order[1])}.`;
  };
  form.hidden = false;
  form.addEventListener("input", update);
  form.addEventListener("reset", () => setTimeout(update));
  form.addEventListener("submit", event => event.preventDefault());
  update();
};
if (document.getElementById("what-if-data")) ask();
