"use strict";
(() => {
  const scenes = JSON.parse(document.getElementById("scenes").textContent);
  const cards = Array.from(document.querySelectorAll("details.card"));
  const views = new Map();

  // One WebGL context for each open card: browsers allow about sixteen on a page.
  function draw(card) {
    const box = card.querySelector(".view");
    if (!box || views.has(card)) return;
    const scene = scenes[Number(card.dataset.index)];
    let viewer = null;
    try {
      viewer = $3Dmol.createViewer(box, { backgroundColor: "white", orthographic: true, disableFog: true });
    } catch (error) {
      console.warn(error);
    }
    if (!viewer) {
      box.innerHTML = "";
      const words = document.createElement("p");
      words.className = "missing";
      words.textContent = "This browser offers no WebGL, which the structure view needs. The CIF below opens in VESTA.";
      box.append(words);
      return;
    }
    const point = ([x, y, z]) => ({ x, y, z });
    const atoms = scene.atoms.map(([element, x, y, z], index) => ({
      elem: scene.elements[element][0], resn: "A", x, y, z, index, bonds: [], bondOrder: [],
    }));
    // A half bond ends at a helper atom of the same colour that is drawn without a ball.
    for (const [from, x, y, z] of scene.bonds) {
      const end = { elem: atoms[from].elem, resn: "B", x, y, z, index: atoms.length, bonds: [from], bondOrder: [1] };
      atoms[from].bonds.push(end.index);
      atoms[from].bondOrder.push(1);
      atoms.push(end);
    }
    viewer.addModel().addAtoms(atoms);
    for (const [elem, color, radius] of scene.elements) {
      viewer.setStyle({ elem, resn: "A" }, { sphere: { radius, color }, stick: { radius: 0.09, color } });
      viewer.setStyle({ elem, resn: "B" }, { stick: { radius: 0.09, color } });
    }
    const corner = (i, j, k) => [0, 1, 2].map((n) => i * scene.cell[0][n] + j * scene.cell[1][n] + k * scene.cell[2][n]);
    const edge = (start, end, color, radius) =>
      viewer.addCylinder({ start: point(start), end: point(end), radius, color, fromCap: 1, toCap: 1 });
    for (const [i, j] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
      const plain = i + j > 0;
      edge(corner(0, i, j), corner(1, i, j), plain ? "#8a949e" : "#b34a00", plain ? 0.025 : 0.05);
      edge(corner(i, 0, j), corner(i, 1, j), plain ? "#8a949e" : "#00785a", plain ? 0.025 : 0.05);
      edge(corner(i, j, 0), corner(i, j, 1), plain ? "#8a949e" : "#0072b2", plain ? 0.025 : 0.05);
    }
    const beyond = (i) => 1 + 1.1 / Math.hypot(...scene.cell[i]); // 1.1 Å outside the cell, clear of the ball in its corner
    const axes = [["a", corner(beyond(0), 0, 0), "#b34a00"], ["b", corner(0, beyond(1), 0), "#00785a"], ["c", corner(0, 0, beyond(2)), "#0072b2"]];
    for (const [name, at, color] of axes) {
      viewer.addLabel(name, { position: point(at), fontColor: color, fontSize: 16, showBackground: false, alignment: "center" });
    }
    viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
    viewer.rotate(-90, "x");
    viewer.rotate(-24, "vy");
    viewer.rotate(10, "vx");
    viewer.zoomTo({ resn: "A" });
    viewer.zoom(1.1);
    viewer.render();
    views.set(card, viewer);
  }

  function discard(card) {
    if (!views.has(card)) return;
    const box = card.querySelector(".view");
    for (const canvas of box.querySelectorAll("canvas")) {
      const context = canvas.getContext("webgl2") || canvas.getContext("webgl");
      const lose = context && context.getExtension("WEBGL_lose_context");
      if (lose) lose.loseContext();
    }
    views.delete(card);
    box.innerHTML = "";
  }

  for (const card of cards) card.addEventListener("toggle", () => (card.open ? draw(card) : discard(card)));
  if (cards.length) cards[0].open = true;
  cards.filter((card) => card.open).forEach(draw);

  function show(index) {
    if (!cards[index]) return;  // only the first rows have a card
    cards[index].open = true;
    cards[index].scrollIntoView({ block: "start" });
  }
  if (/^#card-\d+$/.test(location.hash)) {
    const wanted = document.getElementById(location.hash.slice(1));
    if (wanted) show(cards.indexOf(wanted));
  }

  const table = document.querySelector("table.ranked");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  for (const row of rows) {
    row.addEventListener("click", (event) => { event.preventDefault(); show(Number(row.dataset.index)); });
  }

  const key = (row, column) => row.cells[column].dataset.value;
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const numeric = head.classList.contains("num") || head.classList.contains("by-number");
    const order = (a, b) => numeric ? key(a, column) - key(b, column) : key(a, column).localeCompare(key(b, column));
    rows.sort((a, b) => (down ? order(b, a) : order(a, b)) || a.dataset.index - b.dataset.index);
    body.append(...rows);
  }));

  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const hit = words.every((word) => row.dataset.text.includes(word));
      row.hidden = !hit;
      const card = cards[Number(row.dataset.index)];
      if (card) card.hidden = !hit;
      count += hit;
    }
    shown.textContent = `${count} of ${rows.length} shown`;
  });

  // Paper shows every card; only the open ones have a structure view, for the limit above.
  let opened = [];
  window.addEventListener("beforeprint", () => { opened = cards.filter((c) => !c.open); opened.slice(0, 11).forEach((c) => { c.open = true; draw(c); }); });
  window.addEventListener("afterprint", () => opened.forEach((c) => { c.open = false; }));
})();
