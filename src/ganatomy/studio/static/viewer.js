// The viewer: panes that share one window, and what mouse, keys and the toolbar do to them.

import { find } from "./ask.js";
import { findRange, projectMaximum } from "./image.js";
import { Pane } from "./pane.js";

const VOLUME_PLANES = [["axial", 0], ["coronal", 1], ["sagittal", 2]];
const STEP = 24;  // screen pixels that an arrow key moves

export class Viewer {
  constructor(stage) {
    this.stage = stage;
    this.panes = [];
    this.display = { range: { low: 0, high: 1 }, invert: false, overlay: 0.4, loupe: false };
    this.unit = "";
    this.windows = [];
    this.connectTools();
    document.addEventListener("keydown", event => this.press(event));
  }

  /** Show pictures in a grid: each has an image, a title and where it stands in its pane (align, 0 to 1). */
  showPictures(pictures, columns = pictures.length) {
    this.layOut(pictures.length, columns);
    pictures.forEach((one, i) => this.fill(this.panes[i], one, 0));
    this.setImage(pictures.map(one => one.image).find(Boolean));
  }

  /** Show a volume, or two beside one another, in three planes each; the crosshair is theirs together. */
  showVolumes(pictures) {
    const alone = pictures.length === 1;
    this.layOut(alone ? 4 : 3 * pictures.length, alone ? 2 : 3);
    pictures.forEach((one, i) => VOLUME_PLANES.forEach(([name, axis], j) => {
      const title = [j === 0 ? one.title : "", name].filter(Boolean).join("\n");
      this.fill(this.panes[3 * i + j], { ...one, title }, axis);
    }));
    const image = pictures.map(one => one.image).find(Boolean);
    if (alone) {
      this.fill(this.panes[3], { image: projectMaximum(image), title: "maximum intensity, from the front" }, 0);
    }
    const before = this.place ? this.volumeShape : null;  // a draft is smaller: the crosshair stays where it is in the body
    this.place = image.shape.map((n, axis) => (
      before ? Math.min(n - 1, Math.floor((this.place[axis] + 0.5) * n / before[axis])) : n >> 1));
    this.volumeShape = image.shape;
    this.setImage(image);
    this.putCross(this.place);
  }

  /** Show images as their dimensions ask for. */
  show(pictures) {
    const volume = pictures.some(one => one.image && one.image.shape.length === 3);
    volume ? this.showVolumes(pictures) : this.showPictures(pictures);
  }

  layOut(count, columns) {
    const key = `${count}/${columns}`;
    if (key === this.layoutKey) {
      return;
    }
    this.layoutKey = key;
    this.place = null;
    this.panes = Array.from({ length: count }, () => this.connectPane(new Pane(this.display)));
    this.stage.className = `stage columns-${columns} rows-${Math.ceil(count / columns)}`;
    this.stage.replaceChildren(...this.panes.map(pane => pane.element));
  }

  fill(pane, { image, title = "", align = 0.5 }, axis) {
    pane.axis = axis;
    pane.align = align;
    pane.corner.textContent = title;
    pane.show(image || null);
  }

  setImage(image) {
    if (!image) {
      return;
    }
    find("overlay-field").hidden = !image.labels;
    const names = Object.keys(image.windows).join();
    if (this.unit === image.unit && this.windowNames === names && this.windows.length) {
      this.windows[0].range = findRange(image);
      this.redraw();
      return;
    }
    this.unit = image.unit;
    this.windowNames = names;
    const whole = findRange(image);
    this.windows = [{ name: "whole range", range: whole }, ...Object.entries(image.windows).map(([name, [c, w]]) => (
      { name, range: [c - w / 2, c + w / 2] }))];
    find("window").replaceChildren(...this.windows.map(one => new Option(one.name)), new Option("own", "own"));
    this.setPreset(this.windows.length > 1 ? 1 : 0);
  }

  setPreset(number) {
    const [low, high] = this.windows[number].range;
    find("window").selectedIndex = number;
    this.setRange(low, high);
  }

  setRange(low, high) {
    this.display.range = { low, high: Math.max(high, low + 1e-6) };
    const digits = this.unit ? 0 : 3;
    find("centre").value = ((low + high) / 2).toFixed(digits);
    find("width").value = (high - low).toFixed(digits);
    this.redraw();
  }

  redraw() {
    this.panes.forEach(pane => pane.draw());
  }

  each(change) {
    this.panes.forEach(change);
  }

  // Tools.

  connectTools() {
    find("window").onchange = event => {
      if (event.target.value !== "own") { this.setPreset(event.target.selectedIndex); }
    };
    const typed = () => {
      const centre = Number(find("centre").value), width = Number(find("width").value);
      find("window").value = "own";
      this.setRange(centre - width / 2, centre + width / 2);
    };
    find("centre").onchange = find("width").onchange = typed;
    find("invert").onclick = () => this.toggle("invert");
    find("loupe").onclick = () => this.toggle("loupe");
    find("one").onclick = () => this.each(pane => pane.setZoom(1));
    find("fit").onclick = () => this.each(pane => pane.setZoom(0));
    find("overlay").oninput = event => {
      this.display.overlay = Number(event.target.value);
      this.redraw();
    };
    find("help").onclick = () => find("keys").showModal();
  }

  toggle(name) {
    this.display[name] = !this.display[name];
    find(name).setAttribute("aria-pressed", String(this.display[name]));
    this.redraw();
  }

  changeWindow(sideways, upwards) {
    const { low, high } = this.display.range, whole = this.windows[0].range;
    const unit = Math.max((whole[1] - whole[0]) / 512, 1e-6);
    const width = Math.max((high - low) + sideways * unit, unit), centre = (low + high) / 2 + upwards * unit;
    find("window").value = "own";
    this.setRange(centre - width / 2, centre + width / 2);
  }

  // Mouse.

  connectPane(pane) {
    const at = event => {
      const box = pane.canvas.getBoundingClientRect(), ratio = pane.canvas.width / box.width;
      return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
    };
    let last = null, moved = 0;
    pane.canvas.onpointerdown = event => {
      pane.canvas.setPointerCapture(event.pointerId);
      last = at(event);
      moved = 0;
    };
    pane.canvas.onpointermove = event => {
      const now = at(event);
      this.readOut(pane, now);
      if (last && pane.image) {
        const step = [now[0] - last[0], now[1] - last[1]];
        moved += Math.abs(step[0]) + Math.abs(step[1]);
        last = now;
        event.shiftKey || event.buttons === 4 ? this.shift(step) : moved > 3 && this.changeWindow(step[0], -step[1]);
      }
      if (this.display.loupe) {
        pane.pointer = now;
        pane.draw();
      }
    };
    pane.canvas.onpointerup = event => {
      if (moved <= 3) { this.click(pane, at(event)); }
      last = null;
    };
    pane.canvas.onpointerleave = () => {
      pane.pointer = null;
      this.display.loupe && pane.draw();
    };
    pane.canvas.addEventListener("wheel", event => {
      event.preventDefault();
      const volume = pane.image && pane.image.shape.length === 3;
      if (volume && !event.ctrlKey) {
        this.step(pane.axis, Math.sign(event.deltaY));
      } else {
        const factor = event.deltaY < 0 ? 1.15 : 1 / 1.15;
        this.each(one => (one === pane ? one.zoomBy(factor, ...at(event)) : one.zoomBy(factor)));
      }
    }, { passive: false });
    return pane;
  }

  shift([x, y]) {
    this.each(pane => {
      pane.zoom = pane.image ? pane.place().zoom : 0;
      pane.shift = [pane.shift[0] + x, pane.shift[1] + y];
      pane.draw();
    });
  }

  readOut(pane, [x, y]) {
    const found = pane.point(x, y);
    const value = found && (this.unit ? `${Math.round(found.value)} ${this.unit}` : found.value.toFixed(4));
    find("pointed").textContent = found
      ? `row ${found.row}, column ${found.column}: ${value}${found.label ? `, ${found.label}` : ""}` : "\u00a0";
  }

  click(pane, [x, y]) {
    const found = pane.image && pane.image.shape.length === 3 && pane.point(x, y);
    if (found) {
      const [across, down] = [[2, 1], [2, 0], [1, 0]][pane.axis];
      const place = [...this.place];
      place[across] = found.column;
      place[down] = pane.axis === 0 ? found.row : pane.image.shape[0] - 1 - found.row;
      this.putCross(place);
    }
  }

  /** Put the crosshair of all volumes on a voxel (plane, row, column). */
  putCross(place) {
    this.place = place;
    this.panes.filter(pane => pane.image?.shape.length === 3).forEach(pane => {
      const [z, y, x] = place, above = pane.image.shape[0] - 1 - z;
      pane.at = place[pane.axis];
      pane.cross = [[x, y], [x, above], [y, above]][pane.axis];
      pane.draw();
    });
  }

  step(axis, by) {
    const image = this.panes.map(pane => pane.image).find(Boolean);
    if (!image || image.shape.length !== 3) {
      return;
    }
    const place = [...this.place];
    place[axis] = Math.min(image.shape[axis] - 1, Math.max(0, place[axis] + by));
    this.putCross(place);
  }

  // Keys.

  press(event) {
    const typing = event.target.closest("input[type=number], input[type=text], select, dialog");
    if (typing || event.ctrlKey || event.altKey || event.metaKey || !this.windows.length) {
      return;
    }
    const keys = {
      "+": () => this.each(pane => pane.zoomBy(1.25)), "=": () => this.each(pane => pane.zoomBy(1.25)),
      "-": () => this.each(pane => pane.zoomBy(0.8)),
      1: () => find("one").click(), f: () => find("fit").click(), i: () => this.toggle("invert"),
      m: () => this.toggle("loupe"), "?": () => find("help").click(),
      w: () => this.setPreset((Math.max(0, find("window").selectedIndex) + 1) % this.windows.length),
      "[": () => this.changeWindow(-16, 0), "]": () => this.changeWindow(16, 0),
      ",": () => this.changeWindow(0, -16), ".": () => this.changeWindow(0, 16),
      PageUp: () => this.step(0, 1), PageDown: () => this.step(0, -1),
      ArrowLeft: () => this.arrow(2, -1, [STEP, 0]), ArrowRight: () => this.arrow(2, 1, [-STEP, 0]),
      ArrowUp: () => this.arrow(1, -1, [0, STEP]), ArrowDown: () => this.arrow(1, 1, [0, -STEP]),
    };
    const onList = event.target.closest("[tabindex], input[type=range]") && event.key.startsWith("Arrow");
    if (keys[event.key] && !onList) {
      event.preventDefault();
      keys[event.key]();
    }
  }

  arrow(axis, by, shift) {
    this.place ? this.step(axis, by) : this.shift(shift);
  }
}
