// The charts of logs, drawn by uPlot (MIT licence, beside it): one for each group of values, all runs over one another.

import uPlot from "./uplot/uPlot.esm.js";
import { make } from "./ask.js";

const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3]];  // tells the values of a chart apart, colours the runs
const SMOOTH_TICKS = 20;  // ticks within which the weight of a tick falls to 1/e
const PALETTE = ["#56b4e9", "#e69f00", "#2ab38a", "#f0e442", "#cc79a7", "#d55e00"];
const HEIGHT = 190;  // pixels
const SINGLE = { learning_rate: "learning rate", images_per_second: "images per second", memory_gb: "memory (GB)",
  level: "level", batch_size: "batch size" };
const UNCHARTED = ["progress/seconds_left", "progress/alpha", "progress/start"];

/** The charts that the ticks of some runs need: a title and the names of their values. */
function groupNames(runs) {
  const names = new Set(runs.flatMap(run => [...run.ticks.slice(0, 3), ...run.ticks.slice(-3)].flatMap(Object.keys)));
  const groups = new Map();
  for (const name of names) {
    const [group, rest] = name.split(/\/(.*)/);
    if (rest && !UNCHARTED.includes(name)) {
      const title = group === "progress" ? SINGLE[rest] || rest : `losses of the ${group}`;
      groups.set(title, [...(groups.get(title) || []), name]);
    }
  }
  return groups;
}

/** The values of a chart that occur in a run's log: pairs of the run and a name. */
function listSeries(runs, names) {
  return runs.flatMap(run => names.filter(name => run.ticks.some(tick => name in tick)).map(name => [run, name]));
}

function smooth(values) {
  let mean = null;
  return values.map(value => {
    if (value == null) { return null; }
    mean = mean === null ? value : mean + (value - mean) / SMOOTH_TICKS;
    return mean;
  });
}

/** Columns of one table for uPlot: all counts of images, and a value or null of each series there. */
function tabulate(runs, series, smoothed) {
  const at = [...new Set(runs.flatMap(run => run.ticks.map(tick => tick.images)))].sort((a, b) => a - b);
  const place = new Map(at.map((images, i) => [images, i]));
  const columns = series.map(([run, name]) => {
    const column = new Array(at.length).fill(undefined);
    run.ticks.forEach(tick => { column[place.get(tick.images)] = tick[name]; });
    return smoothed ? smooth(column) : column;
  });
  return [at.map(images => images / 1000), ...columns];
}

function format(value) {
  return value == null ? "" : Number(value.toPrecision(4)).toString();
}

export class Charts {
  constructor(element) {
    this.element = element;
    this.charts = new Map();
    new ResizeObserver(() => this.resize()).observe(element);
  }

  show(runs, smoothed) {
    const groups = groupNames(runs);
    for (const [title, chart] of this.charts) {
      if (!groups.has(title)) {
        chart.plot.destroy();
        chart.box.remove();
        this.charts.delete(title);
      }
    }
    for (const [title, names] of groups) {
      this.showOne(title, names, runs, smoothed);
    }
  }

  showOne(title, names, runs, smoothed) {
    const found = listSeries(runs, names), data = tabulate(runs, found, smoothed);
    const key = found.map(([run, name]) => `${run.name} ${name}`).join();
    const known = this.charts.get(title);
    if (known && known.key === key) {
      known.plot.setData(data);
      return;
    }
    known?.plot.destroy();
    const box = known?.box || make("div", "chart");
    if (!known) { this.element.append(box); }
    const series = found.map(([run, name]) => ({
      label: [runs.length > 1 ? run.name.split("-")[0] : "", names.length > 1 ? name.split(/\/(.*)/)[1] : ""].filter(Boolean).join(" ") || title,
      stroke: runs.length > 1 || names.length === 1 ? run.colour : PALETTE[names.indexOf(name) % PALETTE.length],
      dash: runs.length > 1 ? DASHES[names.indexOf(name) % DASHES.length] : [], width: 1.4, spanGaps: true, points: { show: data[0].length < 2 },
      value: (_, value) => format(value),
    }));
    const axis = { stroke: "#98a4b1", grid: { stroke: "#28313a", width: 1 }, ticks: { stroke: "#28313a" }, size: 54 };
    const options = {
      title, width: box.clientWidth - 12, height: HEIGHT, cursor: { sync: { key: "log" }, points: { size: 6 } },
      scales: { x: { time: false } },
      axes: [{ ...axis, size: 30, values: (_, ticks) => ticks.map(tick => `${format(tick)}k`) },
        { ...axis, values: (_, ticks) => ticks.map(format) }],
      series: [{ label: "images", value: (_, value) => (value == null ? "" : `${format(value)}k`) }, ...series],
    };
    this.charts.set(title, { box, key, plot: new uPlot(options, data, box) });
  }

  resize() {
    for (const { box, plot } of this.charts.values()) {
      plot.setSize({ width: box.clientWidth - 12, height: HEIGHT });
    }
  }
}


