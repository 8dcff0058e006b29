for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const head = button.parentElement, body = head.closest("table").tBodies[0];
  const up = head.getAttribute("aria-sort") !== "ascending", key = row => row.cells[head.cellIndex].dataset.sort;
  const empty = row => ["", "-", "nan"].includes(key(row));
  const numbers = ![...body.rows].some(row => !empty(row) && Number.isNaN(Number(key(row))));
  const order = (a, b) => numbers ? Number(key(a)) - Number(key(b)) || 0
    : key(a).localeCompare(key(b), "en", {numeric: true});
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...[...body.rows].sort((a, b) => empty(a) - empty(b) || (up ? order(a, b) : order(b, a))));
});

// What is under the pointer: of curves and dots the nearest point, of pictures the image.
const told = document.body.appendChild(Object.assign(document.createElement("div"), {id: "told"}));
const tell = (text, event, ...pictures) => {
  told.replaceChildren(text, ...pictures);
  told.style.display = text ? "block" : "none";
  told.style.left = Math.min(event.clientX + 12, innerWidth - told.offsetWidth - 4) + "px";
  told.style.top = Math.min(event.clientY + 14, innerHeight - told.offsetHeight - 4) + "px";
};
const NEAR = 12;

for (const drawing of document.querySelectorAll(".drawing")) {
  const parts = [...drawing.querySelectorAll("[data-points]")].map(part => ({
    part, points: part.dataset.points.split(" ").map(point => point.split(",")),
  }));
  drawing.addEventListener("pointermove", event => {
    const scale = drawing.viewBox.baseVal.width / drawing.getBoundingClientRect().width;
    const box = drawing.getBoundingClientRect();
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    let near = NEAR * scale, text = "";
    for (const {part, points} of parts) if (!part.classList.contains("away")) for (const [px, py, value, place] of points) {
      const far = Math.hypot(px - x, py - y);
      if (far < near) {
        const {series, what, unit} = part.dataset;
        near = far;
        text = [series, what].filter(Boolean).join(", ") + ": " + value + (place && ` at ${place} ${unit}`);
      }
    }
    tell(text, event);
  });
  drawing.addEventListener("pointerleave", event => tell("", event));
  for (const key of drawing.querySelectorAll("[data-key]")) {
    const same = (name) => [...drawing.querySelectorAll(`[data-${name}]`)].filter(e => e.dataset[name] === key.dataset.key);
    const hide = () => {
      const off = same("key").map(each => each.classList.toggle("off"))[0];
      for (const part of same("series")) part.classList.toggle("away", off);
    };
    key.setAttribute("tabindex", "0");
    key.setAttribute("role", "button");
    key.setAttribute("aria-label", `show or hide ${key.dataset.key}`);
    key.addEventListener("click", hide);
    key.addEventListener("keydown", event => event.key === "Enter" && hide());
  }
}

// The image at a place of a sheet, enlarged a whole number of times.
const GAP = 2, LARGE = 96;
const cut = (sheet, row, column, {naturalWidth, naturalHeight}, rows, columns) => {
  const across = (naturalWidth + GAP) / columns, down = (naturalHeight + GAP) / rows;
  const times = Math.max(1, Math.floor(LARGE / (down - GAP))), pixels = (...counts) => counts.map(n => n * times + "px").join(" ");
  const image = document.createElement("span");
  image.className = "cut";
  Object.assign(image.style, {
    width: pixels(across - GAP), height: pixels(down - GAP), backgroundImage: `url(${sheet})`,
    backgroundSize: pixels(naturalWidth, naturalHeight), backgroundPosition: pixels(-column * across, -row * down),
  });
  return image;
};

for (const picture of document.querySelectorAll(".pictures img")) {
  const {beside, what} = picture.dataset;
  const names = JSON.parse(picture.dataset.names || "[]"), columns = Number(picture.dataset.columns);
  const rows = Math.ceil(names.length / columns);
  picture.addEventListener("pointermove", event => {
    const column = Math.floor(event.offsetX / picture.clientWidth * columns);
    const row = Math.floor(event.offsetY / picture.clientHeight * rows);
    const name = names[row * columns + column];
    if (name && beside) tell(`${what}: ${name}`, event, cut(beside, row, column, picture, rows, columns));
    else tell(name || "", event);
  });
  picture.addEventListener("pointerleave", event => tell("", event));
  const enlarge = () => {
    const dialog = document.body.appendChild(document.createElement("dialog"));
    const shown = [[picture.src, picture.alt], ...(beside ? [[beside, `${what} of each`]] : [])];
    const fits = Math.min(0.9 * innerWidth / shown.length / picture.naturalWidth, 0.85 * innerHeight / picture.naturalHeight);
    const times = Math.max(1, Math.floor(fits));
    for (const [src, alt] of shown) {
      const large = new Image(picture.naturalWidth * times, picture.naturalHeight * times);
      dialog.appendChild(document.createElement("figure")).append(Object.assign(large, {src, alt}), alt);
    }
    dialog.setAttribute("aria-label", picture.alt);
    dialog.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    dialog.showModal();
  };
  picture.setAttribute("tabindex", "0");
  picture.setAttribute("role", "button");
  picture.addEventListener("click", enlarge);
  picture.addEventListener("keydown", event => event.key === "Enter" && enlarge());
}
