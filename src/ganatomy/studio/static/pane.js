// A pane: one picture on a canvas, from 16-bit values to grey by window and level in the browser.

import { cutPlane } from "./image.js";
import { make } from "./ask.js";

const LABEL_COLOURS = [null, [230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0],
  [204, 121, 167]];  // Okabe and Ito; the background has none
const LOUPE_RADIUS = 90, LOUPE_FACTOR = 3;  // screen pixels, times
const SCALE_LENGTHS = [1, 2, 5, 10, 20, 50, 100, 200];  // mm

export class Pane {
  /** `display` has window, invert, overlay, loupe; panes that share it look alike. */
  constructor(display, { axis = 0, title = "" } = {}) {
    this.display = display;
    this.axis = axis;
    this.at = 0;
    this.zoom = 0;  // screen pixels a millimetre or pixel; 0 = fit
    this.shift = [0, 0];
    this.image = null;
    this.mirror = false;
    this.align = 0.5;  // where a narrow picture stands: 0 = left, 1 = right, such as chest walls together
    this.cross = null;
    this.pointer = null;
    this.element = make("div", "pane");
    this.canvas = make("canvas");
    this.corner = make("div", "corner", title);
    this.far = make("div", "corner below far");
    this.element.append(this.canvas, this.corner, this.far);
    this.title = title;
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(image) {
    this.image = image;
    this.pictureKey = "";
    if (image && image.shape.length === 3 && this.at >= image.shape[this.axis]) {
      this.at = image.shape[this.axis] >> 1;
    }
    this.draw();
  }

  get plane() {
    return cutPlane(this.image, this.axis, this.at);
  }

  /** The picture in its own pixels, made again when window, plane or image have changed. */
  makePicture() {
    const { low, high } = this.display.range;
    const key = [this.axis, this.at, low, high, this.display.invert, this.display.overlay].join();
    if (this.picture && this.pictureKey === key) {
      return this.picture;
    }
    const { rows, columns, offset, down, right } = this.plane;
    const { values, labels, slope } = this.image;
    if (!this.picture || this.picture.width !== columns || this.picture.height !== rows) {
      this.picture = new OffscreenCanvas(columns, rows);
    }
    const context = this.picture.getContext("2d");
    const pixels = context.createImageData(columns, rows);
    const out = new Uint32Array(pixels.data.buffer);
    const first = low / slope, factor = 255 / Math.max((high - low) / slope, 1e-9);
    const flip = this.display.invert ? 255 : 0, opacity = labels ? this.display.overlay : 0;
    let place = 0;
    for (let row = 0; row < rows; row += 1) {
      let from = offset + row * down;
      for (let column = 0; column < columns; column += 1, from += right, place += 1) {
        let grey = (values[from] - first) * factor + 0.5;
        grey = (grey < 0 ? 0 : grey > 255 ? 255 : grey | 0) ^ flip;
        const colour = opacity ? LABEL_COLOURS[labels[from] % LABEL_COLOURS.length] : null;
        if (colour) {
          const [r, g, b] = colour.map(c => (grey + (c - grey) * opacity) | 0);
          out[place] = 0xff000000 | (b << 16) | (g << 8) | r;
        } else {
          out[place] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
        }
      }
    }
    context.putImageData(pixels, 0, 0);
    this.pictureKey = key;
    return this.picture;
  }

  /** Where the picture lies on the canvas: left upper corner and size in screen pixels, along both axes. */
  place() {
    const { rows, columns, spacing } = this.plane;
    const [down, right] = spacing || [1, 1];
    const finest = Math.min(down, right);
    const height = rows * down / finest, width = columns * right / finest;
    const fit = Math.min(this.canvas.width / width, this.canvas.height / height);
    const zoom = this.zoom || fit;
    const size = [width * zoom, height * zoom];
    const free = this.canvas.width - size[0];
    const left = (this.zoom ? free / 2 : free * this.align) + this.shift[0];
    return { left, top: (this.canvas.height - size[1]) / 2 + this.shift[1], width: size[0], height: size[1],
      zoom, rows, columns, millimetres: spacing ? finest : null };
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.element.clientWidth * ratio), height = Math.round(this.element.clientHeight * ratio);
    if (!width || !height) {
      return;
    }
    this.canvas.width = width;
    this.canvas.height = height;
    const context = this.canvas.getContext("2d");
    if (!this.image) {
      return;
    }
    const at = this.place(), picture = this.makePicture();
    context.imageSmoothingEnabled = at.zoom < 1;
    context.imageSmoothingQuality = "high";
    this.paint(context, picture, at);
    this.drawCross(context, at);
    this.drawScale(context, at, ratio);
    this.drawLoupe(context, picture, at, ratio);
    this.far.textContent = `${at.zoom.toFixed(2)}x`;
  }

  paint(context, picture, at) {
    if (!this.mirror) {
      context.drawImage(picture, at.left, at.top, at.width, at.height);
      return;
    }
    context.save();
    context.translate(2 * at.left + at.width, 0);
    context.scale(-1, 1);
    context.drawImage(picture, at.left, at.top, at.width, at.height);
    context.restore();
  }

  drawCross(context, at) {
    if (!this.cross) {
      return;
    }
    const x = at.left + (this.cross[0] + 0.5) / at.columns * at.width;
    const y = at.top + (this.cross[1] + 0.5) / at.rows * at.height;
    context.strokeStyle = "rgb(86 180 233 / .65)";
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(Math.round(x) + 0.5, 0);
    context.lineTo(Math.round(x) + 0.5, this.canvas.height);
    context.moveTo(0, Math.round(y) + 0.5);
    context.lineTo(this.canvas.width, Math.round(y) + 0.5);
    context.stroke();
  }

  drawScale(context, at, ratio) {
    if (!at.millimetres) {
      return;
    }
    const each = at.zoom / at.millimetres;  // screen pixels a millimetre
    const length = SCALE_LENGTHS.findLast(mm => mm * each <= this.canvas.width * 0.3) || SCALE_LENGTHS[0];
    const left = 10 * ratio, bottom = this.canvas.height - 12 * ratio;
    context.strokeStyle = context.fillStyle = "#d5dde5";
    context.shadowColor = "#000";
    context.shadowBlur = 3 * ratio;
    context.lineWidth = ratio;
    context.beginPath();
    context.moveTo(left, bottom - 4 * ratio);
    context.lineTo(left, bottom);
    context.lineTo(left + length * each, bottom);
    context.lineTo(left + length * each, bottom - 4 * ratio);
    context.stroke();
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.fillText(`${length} mm`, left, bottom - 7 * ratio);
    context.shadowBlur = 0;
  }

  drawLoupe(context, picture, at, ratio) {
    if (!this.display.loupe || !this.pointer) {
      return;
    }
    const [x, y] = this.pointer;
    const zoom = LOUPE_FACTOR;
    context.save();
    context.beginPath();
    context.arc(x, y, LOUPE_RADIUS * ratio, 0, 2 * Math.PI);
    context.clip();
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.imageSmoothingEnabled = at.zoom * zoom < 1;
    this.paint(context, picture, { left: x - (x - at.left) * zoom, top: y - (y - at.top) * zoom,
      width: at.width * zoom, height: at.height * zoom });
    context.restore();
    context.strokeStyle = "#8b97a3";
    context.beginPath();
    context.arc(x, y, LOUPE_RADIUS * ratio, 0, 2 * Math.PI);
    context.stroke();
  }

  /** Column and row of the picture under a place of the canvas, and the value there; null beside the picture. */
  point(x, y) {
    if (!this.image) {
      return null;
    }
    const at = this.place(), { offset, down, right } = this.plane;
    let column = Math.floor((x - at.left) / at.width * at.columns);
    const row = Math.floor((y - at.top) / at.height * at.rows);
    if (column < 0 || row < 0 || column >= at.columns || row >= at.rows) {
      return null;
    }
    column = this.mirror ? at.columns - 1 - column : column;
    const place = offset + row * down + column * right;
    const label = this.image.labels ? this.image.classes[this.image.labels[place]] : "";
    return { column, row, value: this.image.values[place] * this.image.slope, label };
  }

  zoomBy(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const before = this.place();
    this.zoom = Math.min(40, Math.max(0.02, before.zoom * factor));
    const real = this.zoom / before.zoom, after = this.place();
    this.shift[0] += x - (x - before.left) * real - after.left;
    this.shift[1] += y - (y - before.top) * real - after.top;
    this.draw();
  }

  setZoom(zoom) {
    this.zoom = zoom;
    this.shift = [0, 0];
    this.draw();
  }
}
