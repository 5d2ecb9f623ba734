"use strict"; // what the pages of showtell share
const element = (id) => document.getElementById(id);
const percent = (value) => `${Math.round(100 * value)} %`;

// Text from data only ever becomes the text of a node.
function make(name, text, className) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

// ---- Where the model looked: the same image as showtell.utils.plots draws

const FINE = 16; // pixels of the overlay a cell
const INFERNO = [[0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85], [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164]];

// A line of numbers, cubic (Catmull-Rom) between the middles of its cells.
function smooth(line) {
  const at = (cell) => line[Math.min(Math.max(cell, 0), line.length - 1)];
  return Array.from({ length: line.length * FINE }, (_, pixel) => {
    const place = (pixel + 0.5) / FINE - 0.5;
    const cell = Math.floor(place);
    const t = place - cell;
    const [a, b, c, d] = [at(cell - 1), at(cell), at(cell + 1), at(cell + 2)];
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
  });
}

function warm(heat) {
  const place = heat * (INFERNO.length - 1);
  const low = Math.min(Math.floor(place), INFERNO.length - 2);
  return INFERNO[low].map((value, channel) => value + (place - low) * (INFERNO[low + 1][channel] - value));
}

// Dark where the model did not look, a warm cast where it did. Cells are 0 to 255, row by row.
function paintHeat(canvas, cells, rows, columns) {
  const lines = Array.from({ length: rows }, (_, row) => smooth(cells.subarray(row * columns, (row + 1) * columns)));
  const upright = lines[0].map((_, x) => smooth(lines.map((line) => line[x])));
  const pixels = new ImageData(columns * FINE, rows * FINE);
  upright.forEach((column, x) => column.forEach((value, y) => {
    const heat = Math.min(Math.max(value / 255, 0), 1);
    const cast = 0.45 * heat;
    const cover = 1 - (0.3 + 0.7 * heat) * (1 - cast);
    pixels.data.set([...warm(heat).map((channel) => channel * cast / cover), 255 * cover], 4 * (y * columns * FINE + x));
  }));
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function clearCanvas(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}
