// The joints of one person in a picture: crop, network, heatmaps. As posecli's estimator does it, in the same pixels.

const STRIDE = 4, CENTRE = 1.5;  // crop pixels of a heatmap cell, and of the middle of the first one
const RADIUS = 2, MOST = 1.5;  // cells: of the blur, of the step

export class Network {
  // run: crop (Float32Array), its shape -> { data, dims } of the maps, [1, stacks, joints, rows, columns].
  constructor(run, about) {
    this.run = run; this.about = about;
  }

  // image: ImageData; box: x1, y1, x2, y2 in its pixels -> joints as [x, y, confidence].
  async estimate(image, box) {
    const { size: [height, width], factor, offset } = this.about;
    const [x1, y1, x2, y2] = box;
    const scale = Math.max((x2 - x1) * factor / width, (y2 - y1) * factor / height, 1e-3);
    const left = (x1 + x2 - 1) / 2 - scale * (width - 1) / 2, top = (y1 + y2 - 1) / 2 - scale * (height - 1) / 2;
    const crop = this.cut(image, scale, left, top);
    const { data, dims } = await this.run(crop, [1, 3, height, width]);
    const [, stacks, joints, rows, columns] = dims, cells = rows * columns;
    const maps = data.subarray((stacks - 1) * joints * cells);
    return Array.from({ length: joints }, (_, k) => {
      const map = this.heights(maps.subarray(k * cells, (k + 1) * cells));
      const [x, y, peak] = decode(map, columns, rows, this.about.sigma);
      return [scale * (x + offset) + left, scale * (y + offset) + top, interpolated(peak, ...this.about.calibration[k])];
    });
  }

  // Bilinear, to whole numbers, as OpenCV cuts; what lies outside the picture is black. RGB planes.
  cut({ data, width, height }, scale, left, top) {
    const { size: [h, w], mean, std } = this.about, plane = h * w, crop = new Float32Array(3 * plane);
    for (let v = 0; v < h; v++) {
      const y = scale * v + top, y0 = Math.floor(y), fy = y - y0;
      for (let u = 0; u < w; u++) {
        const x = scale * u + left, x0 = Math.floor(x), fx = x - x0, at = v * w + u;
        for (let c = 0; c < 3; c++) {
          let sum = 0;
          for (let j = 0; j < 2; j++) for (let i = 0; i < 2; i++) {
            const px = x0 + i, py = y0 + j;
            if (px >= 0 && py >= 0 && px < width && py < height) sum += data[4 * (py * width + px) + c] * (i ? fx : 1 - fx) * (j ? fy : 1 - fy);
          }
          crop[c * plane + at] = (Math.round(sum) / 255 - mean[c]) / std[c];
        }
      }
    }
    return crop;
  }

  // About 1 where the network is sure.
  heights(map) {
    if (!this.about.softmax) return map;
    const most = map.reduce((a, b) => Math.max(a, b), -Infinity), heights = map.map(v => Math.exp(v - most));
    const sum = heights.reduce((a, b) => a + b, 0), area = 2 * Math.PI * this.about.sigma ** 2;
    return heights.map(v => v / sum * area);
  }
}

// x, y in crop pixels and the peak's height: DARK (Zhang et al., CVPR 2020), one Newton step on the log of the map.
export function decode(map, columns, rows, sigma) {
  let best = 0;
  for (let i = 1; i < map.length; i++) if (map[i] > map[best]) best = i;
  const x = best % columns, y = (best - x) / columns;
  const clamp = (v, most) => Math.min(Math.max(v, 0), most);
  const kernel = Array.from({ length: 2 * RADIUS + 1 }, (_, i) => Math.exp(-0.5 * ((i - RADIUS) / sigma) ** 2));
  const total = kernel.reduce((a, b) => a + b, 0);
  const log = (dx, dy) => {
    let sum = 0;
    for (let j = -RADIUS; j <= RADIUS; j++) for (let i = -RADIUS; i <= RADIUS; i++) {
      const cell = clamp(y + dy + j, rows - 1) * columns + clamp(x + dx + i, columns - 1);
      sum += kernel[i + RADIUS] * kernel[j + RADIUS] * Math.max(map[cell], 0);
    }
    return Math.log(Math.max(sum / total / total, 1e-10));
  };
  const c = log(0, 0), e = log(1, 0), w = log(-1, 0), s = log(0, 1), n = log(0, -1);
  const gx = (e - w) / 2, gy = (s - n) / 2, gxx = e - 2 * c + w, gyy = s - 2 * c + n;
  const gxy = (log(1, 1) - log(1, -1) - log(-1, 1) + log(-1, -1)) / 4, det = gxx * gyy - gxy * gxy;
  let dx = 0, dy = 0;
  if (det > 1e-6 && gxx < 0) {
    dx = Math.min(Math.max(-(gyy * gx - gxy * gy) / det, -MOST), MOST);
    dy = Math.min(Math.max(-(gxx * gy - gxy * gx) / det, -MOST), MOST);
  }
  return [STRIDE * (x + dx) + CENTRE, STRIDE * (y + dy) + CENTRE, Math.max(map[best], 0)];
}

function interpolated(value, xs, ys) {
  if (value <= xs[0]) return ys[0];
  for (let i = 1; i < xs.length; i++) if (value <= xs[i]) return ys[i - 1] + (value - xs[i - 1]) / (xs[i] - xs[i - 1]) * (ys[i] - ys[i - 1]);
  return ys[ys.length - 1];
}

// Follows one person: the next crop is around the last joints. At first, and when the person is lost, it looks at the
// whole picture and at parts of it, takes the surest answer, and looks once more, closer.
export class Follower {
  constructor(network) { this.network = network; this.box = null; }

  async next(image) {
    let joints = this.box && await this.network.estimate(image, this.box);
    if (!joints || !around(joints)) joints = await this.search(image);
    this.box = joints && around(joints);
    return this.box ? joints : null;
  }

  async search(image) {
    const found = [];
    for (const box of windows(image.width, image.height)) found.push(await this.network.estimate(image, box));
    const surest = found.reduce((a, b) => sureness(b) > sureness(a) ? b : a), box = around(surest);
    return box && this.network.estimate(image, box);
  }
}

const sureness = joints => joints.reduce((sum, joint) => sum + joint[2], 0);

// The whole picture, and upright parts of it from left to right.
function windows(width, height) {
  const part = Math.min(width, height / 2), boxes = [[0, 0, width, height]];
  for (let n = 0; n < 4 && part < 0.9 * width; n++) boxes.push([n / 3 * (width - part), 0, n / 3 * (width - part) + part, height]);
  return boxes;
}

const SURE = 0.3, LEAST = 5, MARGIN = 0.12;

// A box around the sure joints, as a detector would draw it; null where too few are sure.
export function around(joints) {
  const sure = joints.filter(([, , confidence]) => confidence >= SURE);
  if (sure.length < LEAST) return null;
  const xs = sure.map(j => j[0]), ys = sure.map(j => j[1]);
  const [x1, y1, x2, y2] = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)], margin = MARGIN * Math.max(x2 - x1, y2 - y1);
  return x2 - x1 + y2 - y1 < 16 ? null : [x1 - margin, y1 - margin, x2 + margin, y2 + margin];
}
