// An image as the server sends it (ganatomy.studio.envelope): a header, 16-bit values, numbers of classes.

import { ask } from "./ask.js";

const ARRAYS = { uint16: Uint16Array, int16: Int16Array };

export function decodeImage(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const count = header.shape.reduce((a, b) => a * b, 1);
  const values = new ARRAYS[header.type](buffer, 4 + length, count);
  const labels = header.classes.length ? new Uint8Array(buffer, 4 + length + 2 * count, count) : null;
  return { ...header, values, labels };
}

export async function fetchImage(path, body) {
  return decodeImage(await (await ask(path, body)).arrayBuffer());
}

/** The least and greatest value of an image in its unit, without reading more than a million of them. */
export function findRange(image) {
  const step = Math.max(1, Math.floor(image.values.length / 1e6));
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < image.values.length; i += step) {
    const value = image.values[i];
    if (value < low) { low = value; }
    if (value > high) { high = value; }
  }
  return [low * image.slope, high * image.slope];
}

/** The grey picture (rows, columns) of an image, or a plane of a volume as radiologists look at it. */
export function cutPlane(image, axis, at) {
  if (image.shape.length === 2) {
    return { rows: image.shape[0], columns: image.shape[1], offset: 0, down: image.shape[1], right: 1,
      spacing: image.spacing };
  }
  const [depth, height, width] = image.shape;
  const [dz, dy, dx] = image.spacing || [1, 1, 1];
  const across = height * width;
  if (axis === 0) {
    return { rows: height, columns: width, offset: at * across, down: width, right: 1, spacing: [dy, dx] };
  }
  const last = (depth - 1) * across;  // the head is up: the last plane of the first axis is the first row
  return axis === 1
    ? { rows: depth, columns: width, offset: last + at * width, down: -across, right: 1, spacing: [dz, dx] }
    : { rows: depth, columns: height, offset: last + at, down: -across, right: width, spacing: [dz, dy] };
}

/** The maximum-intensity projection of a volume from the front, as an image of two axes with the head up. */
export function projectMaximum(image) {
  const [depth, height, width] = image.shape;
  const values = new image.values.constructor(depth * width).fill(image.type === "int16" ? -32768 : 0);
  for (let z = 0, from = 0; z < depth; z += 1) {
    const row = (depth - 1 - z) * width;
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1, from += 1) {
        if (image.values[from] > values[row + x]) { values[row + x] = image.values[from]; }
      }
    }
  }
  const spacing = image.spacing && [image.spacing[0], image.spacing[2]];
  return { ...image, shape: [depth, width], spacing, values, labels: null, classes: [] };
}
