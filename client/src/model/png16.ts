/**
 * PNG files of one grey channel, 8 or 16 bit. The browser's own decoder cuts 16 bits to 8, and
 * window and level need all of them.
 */

export interface GreyPng {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint16Array;
}

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

export async function decodeGreyPng(file: Uint8Array<ArrayBuffer>): Promise<GreyPng> {
  if (SIGNATURE.some((byte, at) => file[at] !== byte)) throw new Error("not a PNG file");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  const [depth, colour, interlace] = [file[24], file[25], file[28]];
  if ((depth !== 8 && depth !== 16) || colour !== 0 || interlace !== 0) {
    throw new Error(`a PNG of ${depth} bit, colour type ${colour}; plain grey of 8 or 16 expected`);
  }
  const packed = new Blob(imageData(file, view));
  const unpacked = packed.stream().pipeThrough(new DecompressionStream("deflate"));
  const lines = new Uint8Array(await new Response(unpacked).arrayBuffer());
  const bytes = depth / 8;
  if (lines.length !== height * (1 + width * bytes)) {
    throw new Error(`a PNG of ${width} x ${height} with ${lines.length} bytes of pixels`);
  }
  return { width, height, pixels: unfilter(lines, width, height, bytes) };
}

function imageData(file: Uint8Array<ArrayBuffer>, view: DataView): Uint8Array<ArrayBuffer>[] {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 8; at + 12 <= file.length; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...file.subarray(at + 4, at + 8));
    if (name === "IDAT") chunks.push(file.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  return chunks;
}

function unfilter(lines: Uint8Array, width: number, height: number, bytes: number): Uint16Array {
  const stride = width * bytes;
  const pixels = new Uint16Array(width * height);
  let above = new Uint8Array(stride);
  for (let row = 0; row < height; row += 1) {
    const start = row * (stride + 1);
    const line = lines.slice(start + 1, start + 1 + stride);
    undoFilter(lines[start] ?? 0, line, above, bytes);
    for (let col = 0; col < width; col += 1) {
      const at = col * bytes;
      const high = line[at] ?? 0;
      pixels[row * width + col] = bytes === 1 ? high : high * 256 + (line[at + 1] ?? 0);
    }
    above = line;
  }
  return pixels;
}

function undoFilter(filter: number, line: Uint8Array, above: Uint8Array, bytes: number): void {
  for (let at = 0; at < line.length; at += 1) {
    const left = at >= bytes ? (line[at - bytes] ?? 0) : 0;
    const up = above[at] ?? 0;
    const corner = at >= bytes ? (above[at - bytes] ?? 0) : 0;
    line[at] = (line[at] ?? 0) + predicted(filter, left, up, corner);
  }
}

function predicted(filter: number, left: number, up: number, corner: number): number {
  switch (filter) {
    case 0:
      return 0;
    case 1:
      return left;
    case 2:
      return up;
    case 3:
      return (left + up) >> 1;
    case 4: {
      const estimate = left + up - corner;
      const [byLeft, byUp] = [Math.abs(estimate - left), Math.abs(estimate - up)];
      const byCorner = Math.abs(estimate - corner);
      if (byLeft <= byUp && byLeft <= byCorner) return left;
      return byUp <= byCorner ? up : corner;
    }
    default:
      throw new Error(`a PNG line with filter ${filter}; there are 0 to 4`);
  }
}
