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
    const { title, zoom, ...spec } = figures[id];
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
    const panel = place.closest("[data-depths]");
    result.view.addEventListener("click", (_, item) => {
      const capacity = item?.datum?.capacity;
      if (capacity && item.mark.marktype === "symbol" && !place.classList.contains("dragged")) chooseCapacity(panel, capacity);
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

  // A panel is what has depths: the figures of a family together, or a figure that stands with the answer by itself.
  // What the controls of a panel say, and where its axes are zoomed to, goes to every chart in it: that is the linked
  // selection. Axes of one group, such as all of accuracy, zoom together.
  const windows = new Map(all("[data-depths]").map((panel) => [panel, {}]));
  function state(panel) {
    const boxes = all("[data-depth]", panel);
    const depths = boxes.length ? boxes.filter((box) => box.checked).map((box) => Number(box.dataset.depth)) : panel.dataset.depths.split(" ").map(Number);
    const choice = panel.querySelector("[data-capacity]");
    return { depths, replicates: Boolean(panel.querySelector("[data-replicates]")?.checked), chosen: choice ? Number(choice.value) : 0 };
  }
  // The ends of an axis where nothing is zoomed; the close-up is another such place for accuracy.
  function fullRange(panel, axis) {
    const closeUp = panel.querySelector("[data-close-up]");
    if (axis.group === "accuracy" && closeUp?.checked) return closeUp.dataset.closeUp.split(" ").map(Number);
    return [axis.low, axis.highs?.[state(panel).chosen] ?? axis.high];
  }
  const range = (panel, axis) => windows.get(panel)[axis.group] || fullRange(panel, axis);
  function signals(place) {
    const panel = place.closest("[data-depths]");
    const { x, y } = figures[place.dataset.figure].zoom;
    const [[left, right], [bottom, top]] = [range(panel, x), range(panel, y)];
    return { ...state(panel), left, right, bottom, top };
  }
  function applyState(panel) {
    for (const place of all(".chart", panel)) {
      const view = views.get(place);
      if (!view) continue;
      const wanted = signals(place);
      const known = view.getState({ data: () => false, signals: (name) => name in wanted }).signals;
      for (const name of Object.keys(known)) view.signal(name, wanted[name]);
      view.runAsync();
      const { x, y } = figures[place.dataset.figure].zoom;
      place.classList.toggle("zoomed", [x, y].some(({ group }) => windows.get(panel)[group]));
    }
    for (const reset of all("[data-zoom=reset]", panel)) reset.disabled = !Object.keys(windows.get(panel)).length;
  }

  // Zoom: a wheel turned with Ctrl, Command or Shift held (a plain one scrolls the page, as ever), dragging once zoomed,
  // a double click or the buttons, on which the arrow keys move.
  const CLOSEST = 40;
  const scaled = ({ log }) => (log ? [Math.log, Math.exp] : [(value) => value, (value) => value]);
  // The range of an axis becomes `factor` times as long, with the point at the share `at` of it fixed, moved by `by` lengths.
  function zoomAxis(panel, axis, factor, at, by = 0) {
    const [to, from] = scaled(axis);
    const [lowest, highest] = fullRange(panel, axis).map(to);
    const [low, high] = range(panel, axis).map(to);
    const length = Math.min(highest - lowest, Math.max((high - low) * factor, (highest - lowest) / CLOSEST));
    const start = low + at * (high - low - length) + by * length;
    const within = Math.min(Math.max(start, lowest), highest - length);
    if (length > (highest - lowest) * 0.999) delete windows.get(panel)[axis.group];
    else windows.get(panel)[axis.group] = [from(within), from(within + length)];
  }
  const shown = (figure) => figure.querySelector(".view:not(.away) .chart");
  function zoom(place, factor, at = [0.5, 0.5], by = [0, 0]) {
    const panel = place.closest("[data-depths]");
    const { x, y } = figures[place.dataset.figure].zoom;
    zoomAxis(panel, x, factor, at[0], by[0]);
    zoomAxis(panel, y, factor, at[1], by[1]);
    applyState(panel);
  }
  function resetZoom(panel) { windows.set(panel, {}); applyState(panel); }
  // Where in the plot a pointer is, as shares of its width and height from the lower left; null beside it.
  function placeIn(place, event) {
    const view = views.get(place);
    if (!view) return null;
    const box = place.querySelector("svg").getBoundingClientRect();
    const [left, top] = view.origin();
    const at = [(event.clientX - box.left - left) / view.width(), 1 - (event.clientY - box.top - top) / view.height()];
    return at.every((share) => share >= -0.02 && share <= 1.02) ? at : null;
  }
  // Where to zoom to by button or key: the middle of the markers in sight, since the middle of the plot is often empty.
  function middle(place) {
    const found = all(".mark-symbol path", place).map((marker) => {
      const { left, top, width, height } = marker.getBoundingClientRect();
      return placeIn(place, { clientX: left + width / 2, clientY: top + height / 2 });
    }).filter(Boolean);
    const median = (axis) => Math.min(Math.max(found.map((at) => at[axis]).sort((a, b) => a - b)[found.length >> 1], 0), 1);
    return found.length ? [median(0), median(1)] : [0.5, 0.5];
  }
  const zoomStep = (place, inwards) => zoom(place, inwards ? 0.7 : 1 / 0.7, middle(place));
  for (const place of all(".chart")) {
    place.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey || event.shiftKey)) return;
      const at = placeIn(place, event);
      if (!at) return;
      event.preventDefault();
      const turned = (event.deltaY || event.deltaX) * (event.deltaMode ? 30 : 1);
      zoom(place, Math.exp(Math.min(Math.max(turned, -240), 240) * 0.002), at);
    }, { passive: false });
    place.addEventListener("dblclick", () => resetZoom(place.closest("[data-depths]")));
    let grip = null;
    place.addEventListener("pointerdown", (event) => {
      place.classList.remove("dragged");
      if (event.button === 0 && place.classList.contains("zoomed") && placeIn(place, event)) grip = [event.clientX, event.clientY];
    });
    place.addEventListener("pointermove", (event) => {
      if (!grip) return;
      const moved = [event.clientX - grip[0], event.clientY - grip[1]];
      // A click may tremble; it still is a click.
      if (!place.classList.contains("dragged") && Math.hypot(...moved) < 5) return;
      place.classList.add("dragged");
      place.setPointerCapture(event.pointerId);
      const view = views.get(place);
      grip = [event.clientX, event.clientY];
      zoom(place, 1, [0.5, 0.5], [-moved[0] / view.width(), moved[1] / view.height()]);
    });
    for (const end of ["pointerup", "pointercancel"]) place.addEventListener(end, () => { grip = null; });
  }
  function pressZoom(button) {
    const place = shown(button.closest("figure"));
    if (button.dataset.zoom === "reset") {
      // A button that is about to be disabled would take the focus with it.
      button.parentElement.querySelector("[data-zoom=in]").focus();
      resetZoom(place.closest("[data-depths]"));
    } else zoomStep(place, button.dataset.zoom === "in");
  }
  const STEPS = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
  for (const group of all(".zoom")) group.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const place = shown(group.closest("figure"));
    if (STEPS[event.key]) zoom(place, 1, [0.5, 0.5], STEPS[event.key]);
    else if (event.key === "+" || event.key === "-") zoomStep(place, event.key === "+");
    else if (event.key === "Escape") resetZoom(place.closest("[data-depths]"));
    else return;
    event.preventDefault();
  });
  function chooseCapacity(panel, capacity) {
    const choice = panel.querySelector("[data-capacity]");
    if (!choice || ![...choice.options].some((option) => Number(option.value) === capacity)) return;
    choice.value = String(capacity);
    delete windows.get(panel).loss;
    applyState(panel);
  }
  for (const panel of all("[data-depths]")) {
    panel.addEventListener("change", (event) => {
      // A figure never goes empty: the last depth stays.
      if (event.target.matches("[data-depth]") && !state(panel).depths.length) event.target.checked = true;
      // What was zoomed may be gone from the axis that the switch brings.
      if (event.target.matches("[data-close-up]")) delete windows.get(panel).accuracy;
      if (event.target.matches("[data-capacity]")) delete windows.get(panel).loss;
      applyState(panel);
    });
    panel.addEventListener("click", (event) => {
      const pressed = event.target.closest("button[data-view]");
      if (pressed) switchView(pressed);
      const save = event.target.closest("button[data-save]");
      if (save) saveFigure(save);
      const zooming = event.target.closest("button[data-zoom]");
      if (zooming) pressZoom(zooming);
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
    for (const [name, value] of Object.entries(signals(place))) {
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
