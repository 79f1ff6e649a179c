"use strict";
(() => {
  const root = document.documentElement;
  const { figures, data, pageConfig, fileConfig } = JSON.parse(document.getElementById("figures-data").textContent);
  const views = new Map();
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  root.classList.add("scripted");

  // Theme: the system's wish until the reader chooses; charts follow because their colours are CSS variables.
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const nameTheme = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`); };
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });
  system.addEventListener("change", nameTheme);
  nameTheme();

  // Tabs, by the WAI-ARIA pattern: arrows move, the family stays when the dataset changes, the address names the tab.
  function select(tab, { focus = false } = {}) {
    for (const other of all("[role=tab]", tab.parentElement)) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).classList.toggle("away", !chosen);
    }
    if (focus) tab.focus();
  }
  const datasetTabs = () => document.querySelector(".tabs.datasets");
  const familyTabs = () => all(".tabs.families");
  function show(dataset, family, options) {
    const datasetTab = document.getElementById(`tab-${dataset}`);
    if (datasetTab) select(datasetTab, options);
    if (family) for (const list of familyTabs()) {
      const tab = all("[role=tab]", list).find((candidate) => candidate.dataset.tab === family);
      if (tab) select(tab);
    }
    embedWaiting();
  }
  const current = (list) => all("[role=tab]", list).find((tab) => tab.getAttribute("aria-selected") === "true")?.dataset.tab;
  const remember = () => {
    const dataset = current(datasetTabs());
    history.replaceState(null, "", `#${dataset}/${current(document.querySelector(`#panel-${CSS.escape(dataset)} .tabs.families`))}`);
  };
  for (const list of all("[role=tablist]")) {
    const choose = (tab, focus) => {
      if (list === datasetTabs()) show(tab.dataset.tab, null, { focus });
      else { show(null, tab.dataset.tab); if (focus) tab.focus(); }
      remember();
    };
    list.addEventListener("click", (event) => { const tab = event.target.closest("[role=tab]"); if (tab) choose(tab, false); });
    list.addEventListener("keydown", (event) => {
      const tabs = all("[role=tab]", list);
      const at = tabs.indexOf(document.activeElement);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (at < 0 || to === undefined) return;
      event.preventDefault();
      choose(tabs[(to + tabs.length) % tabs.length], true);
    });
  }
  function followAddress() {
    const [dataset, family] = decodeURIComponent(location.hash.slice(1)).split("/");
    if (family && document.getElementById(`panel-${dataset}-${family}`)) { show(dataset, family); return true; }
    return false;
  }
  addEventListener("hashchange", () => { if (followAddress()) document.getElementById("results").scrollIntoView(); });

  // Charts: those in sight at once, the others when the browser is idle, so that printing finds all of them.
  const rowsOf = ({ columns, rows }) => rows.map((row) => Object.fromEntries(columns.map((column, i) => [column, row[i]])));
  function specification(id) {
    const { title, ...spec } = figures[id];
    return { ...spec, datasets: Object.fromEntries(spec.needs.map((key) => [key, rowsOf(data[key])])), needs: undefined };
  }
  async function embed(place) {
    if (views.has(place)) return;
    views.set(place, null);
    const narrow = place.clientWidth < 480;
    const spec = { ...specification(place.dataset.figure), width: "container", autosize: { type: "fit-x", contains: "padding" } };
    if (narrow) spec.height = 270;
    let result;
    try {
      result = await vegaEmbed(place, spec, { renderer: "svg", actions: false, defaultStyle: false, config: pageConfig });
    } catch (error) {
      console.error(place.dataset.figure, error);
      place.innerHTML = '<p class="missing">This browser could not draw the figure; its numbers are in the table below.</p>';
      return;
    }
    views.set(place, result.view);
    const panel = place.closest(".panel.family");
    result.view.addEventListener("click", (_, item) => {
      const capacity = item?.datum?.capacity;
      if (capacity && item.mark.marktype === "symbol") chooseCapacity(panel, capacity);
    });
    applyState(panel);
  }
  const inSight = (place) => !place.closest(".away");
  async function embedWaiting() {
    for (const place of all(".chart").filter(inSight)) await embed(place);
  }
  async function embedRest() {
    for (const place of all(".chart")) {
      if (views.has(place)) continue;
      await new Promise((resolve) => (window.requestIdleCallback || setTimeout)(resolve, { timeout: 300 }));
      await embed(place);
    }
    root.dataset.ready = "true";
  }

  // What the controls of a panel say goes to every chart in it: that is the linked selection.
  function state(panel) {
    const boxes = all("[data-depth]", panel);
    const depths = boxes.length ? boxes.filter((box) => box.checked).map((box) => Number(box.dataset.depth)) : panel.dataset.depths.split(" ").map(Number);
    const choice = panel.querySelector("[data-capacity]");
    const closeUp = panel.querySelector("[data-close-up]");
    const [bottom, top] = closeUp?.checked ? closeUp.dataset.closeUp.split(" ").map(Number) : [0, 1];
    return { depths, bottom, top, replicates: Boolean(panel.querySelector("[data-replicates]")?.checked), chosen: choice ? Number(choice.value) : 0 };
  }
  function applyState(panel) {
    const wanted = state(panel);
    for (const place of all(".chart", panel)) {
      const view = views.get(place);
      if (!view) continue;
      const known = view.getState({ data: () => false, signals: (name) => name in wanted }).signals;
      for (const name of Object.keys(known)) view.signal(name, wanted[name]);
      view.runAsync();
    }
  }
  function chooseCapacity(panel, capacity) {
    const choice = panel.querySelector("[data-capacity]");
    if (!choice || ![...choice.options].some((option) => Number(option.value) === capacity)) return;
    choice.value = String(capacity);
    applyState(panel);
  }
  for (const panel of all(".panel.family")) {
    panel.addEventListener("change", (event) => {
      // A figure never goes empty: the last depth stays.
      if (event.target.matches("[data-depth]") && !state(panel).depths.length) event.target.checked = true;
      applyState(panel);
    });
    panel.addEventListener("click", (event) => {
      const pressed = event.target.closest("button[data-view]");
      if (pressed) switchView(pressed);
      const save = event.target.closest("button[data-save]");
      if (save) saveFigure(save);
    });
  }
  function switchView(pressed) {
    const figure = pressed.closest("figure");
    for (const other of all("button[data-view]", figure)) other.setAttribute("aria-pressed", String(other === pressed));
    for (const view of all(".view", figure)) view.classList.toggle("away", view.dataset.view !== pressed.dataset.view);
    embedWaiting();
  }

  async function saveFigure(save) {
    const figure = save.closest("figure");
    const place = figure.querySelector(".view:not(.away) .chart");
    const id = place.dataset.figure;
    const spec = { ...specification(id), title: figures[id].title };
    const result = await vegaEmbed(document.createElement("div"), spec, { renderer: "svg", actions: false, config: fileConfig });
    for (const [name, value] of Object.entries(state(figure.closest(".panel.family")))) {
      if (spec.params.some((param) => param.name === name)) result.view.signal(name, value);
    }
    await result.view.runAsync();
    const link = document.createElement("a");
    link.href = await result.view.toImageURL(save.dataset.save, 2);
    link.download = `${id.replaceAll("/", "-")}.${save.dataset.save}`;
    link.click();
    result.finalize();
  }

  const first = document.querySelector(".tabs.datasets [role=tab]");
  if (first) {
    for (const list of familyTabs()) select(all("[role=tab]", list).find((tab) => !document.querySelector(`#${CSS.escape(tab.getAttribute("aria-controls"))} > .missing`)) || list.querySelector("[role=tab]"));
    select(first);
    followAddress();
  }
  embedWaiting().then(embedRest);
})();
